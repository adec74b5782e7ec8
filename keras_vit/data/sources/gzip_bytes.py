"""The bytes of a gzip file, read from any place without unpacking it."""

from __future__ import annotations

import bisect
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, BinaryIO

_BLOCK = 2**16  # compressed bytes that are read at a time
_FIRST_SPACING = 2**19
_MOST_POINTS = 1024  # of about 40 KiB each
_KEPT_BYTES = 2**26  # unpacked, of the parts that were read last
_GZIP = 31  # zlib reads gzip's header and checks its sum


class GzipBytes:
    """Random access to what a gzip file holds, in any number of threads.

    The file is decoded once, in order, by `read_on`. A copy of the decoder is kept
    every so often, from which a later read goes on. The parts between two copies that
    were read last are kept, so that pictures in their order are decoded once.

    Args:
        file: open for reading.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._points: list[tuple[int, int, Any]] = []
        self._spacing = _FIRST_SPACING
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._blocks = self._decoded(0, 0, None)
        self._rest = b""

    def reopen(self, file: BinaryIO) -> None:
        """Read from another handle of the same file."""
        self._file, self._lock = file, threading.Lock()

    def read_on(self, size: int) -> bytes:
        """Return the next bytes of the first pass; less than `size` at the end.

        Raises:
            EOFError: if the file is cut off.
            zlib.error: if it is damaged.
        """
        parts, missing = [self._rest], size - len(self._rest)
        while missing > 0:
            block = next(self._blocks, None)
            if block is None:
                break
            parts.append(block[2])
            missing -= len(block[2])
            self._keep(*block)
        found = b"".join(parts)
        self._rest = found[size:]
        return found[:size]

    # What tarfile calls when it reads a stream.
    read = read_on

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes of the unpacked file from `offset` on."""
        number = bisect.bisect_right(self._points, offset, key=lambda point: point[0])
        parts, end = [], offset + size
        while offset < end and number <= len(self._points):
            start = self._points[number - 1][0] if number else 0
            part = self._part(number)
            found = part[offset - start : end - start]
            parts.append(found)
            offset, number = offset + len(found), number + 1
        return b"".join(parts)

    def _part(self, number: int) -> bytes:
        """Return the bytes from a point to the next one; part 0 is before the first."""
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        start, place, decoder = self._points[number - 1] if number else (0, 0, None)
        is_last = number >= len(self._points)
        size = None if is_last else self._points[number][0] - start
        parts, found = [], 0
        for _, _, block, _ in self._decoded(start, place, decoder):
            parts.append(block)
            found += len(block)
            if size is not None and found >= size:
                break
        part = b"".join(parts)[:size]
        with self._lock:
            self._kept[number] = part
            total = sum(map(len, self._kept.values()))
            while total > _KEPT_BYTES and len(self._kept) > 1:
                total -= len(self._kept.popitem(last=False)[1])
        return part

    def _decoded(
        self, start: int, place: int, decoder: Any
    ) -> Iterator[tuple[int, int, bytes, Any]]:
        """Yield from a place on: where it ends, packed and not, bytes and decoder."""
        decoder = zlib.decompressobj(_GZIP) if decoder is None else decoder.copy()
        while True:
            with self._lock:
                self._file.seek(place)
                packed = self._file.read(_BLOCK)
            if not packed:
                break
            place += len(packed)
            found = []
            while packed:
                if decoder.eof:  # Another member follows, or zeros that fill up.
                    packed = packed.lstrip(b"\0")
                    if not packed:
                        break
                    decoder = zlib.decompressobj(_GZIP)
                found.append(decoder.decompress(packed))
                packed = decoder.unused_data if decoder.eof else b""
            block = b"".join(found)
            start += len(block)
            yield start, place, block, decoder
        if not decoder.eof:
            raise EOFError("the file is cut off")

    def _keep(self, start: int, place: int, block: bytes, decoder: Any) -> None:
        last = self._points[-1][0] if self._points else 0
        if start - last < self._spacing:
            return
        self._points.append((start, place, decoder.copy()))
        if len(self._points) >= _MOST_POINTS:
            self._points = self._points[1::2]
            self._spacing *= 2
