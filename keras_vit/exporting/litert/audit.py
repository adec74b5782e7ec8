"""The ops that a LiteRT file is made of, and what runs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_vit.exporting.litert.gpu_delegate import gpu_refusal
from keras_vit.exporting.litert.graph import CUSTOM, read_ops
from keras_vit.pages.in_notebook import InNotebook, plain_facts, plain_table

NO_FLEX = (
    "Flex and custom ops need a runtime that phones and browsers do not have. Nothing "
    "was written; use another activation or layer."
)
_TITLES = ("op", "count", "dtypes", "XNNPACK", "GPU delegate")


@dataclass(frozen=True, kw_only=True)
class OpAudit:
    """What one kind of op in a LiteRT file is, and what runs it.

    Args:
        name: "FULLY_CONNECTED" for example.
        count: how often it occurs.
        dtypes: of what goes in and comes out, without shapes and axes.
        xnnpack: how many of them XNNPACK computes, measured; None if not measured.
        gpu: why the GPU delegate would leave some of them to the CPU; usually empty.
    """

    name: str
    count: int
    dtypes: tuple[str, ...]
    xnnpack: int | None
    gpu: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Audit(InNotebook):
    """What a LiteRT file is made of, and which runtimes take it.

    XNNPACK is what computes on the CPU of phones and computers, and in LiteRT.js where
    there is no WebGPU. It is asked here. The GPU delegate is not: the file is compared
    with the rules of its source, see `gpu_delegate.py`. What NPUs take is up to their
    makers.

    Args:
        ops: each kind of op, by name.
        xnnpack_partitions: how many parts of the graph XNNPACK computes; 1 is best, 0
            is none, None if the file cannot be loaded.
        dynamic_shapes: tensors with a size that is known at run time only.

    Example:
        ```python
        found = keras_vit.audit("photos.tflite")
        found.xnnpack_partitions, found.dynamic_shapes  # (1, ())
        [op.name for op in found.ops][:2]  # ['ADD', 'BATCH_MATMUL']
        ```
    """

    ops: tuple[OpAudit, ...] = field(repr=False)
    xnnpack_partitions: int | None
    dynamic_shapes: tuple[str, ...]

    @property
    def gpu_refusals(self) -> dict[str, tuple[str, ...]]:
        """Why the GPU delegate would not take the whole file, by op; usually empty."""
        found = {op.name: op.gpu for op in self.ops if op.gpu}
        if self.dynamic_shapes:
            found["dynamic shapes"] = self.dynamic_shapes
        return found

    def table(self) -> str:
        """Return a table of the ops for people."""
        return "\n".join(
            f"{name:24}{count:>6}  {dtypes:20}{xnnpack:>8}  {gpu}"
            for name, count, dtypes, xnnpack, gpu in (_TITLES, *self._rows())
        )

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        for op in self.ops:
            xnnpack = "-" if op.xnnpack is None else op.xnnpack
            gpu = "; ".join(op.gpu) or "yes"
            yield op.name, op.count, ", ".join(op.dtypes), xnnpack, gpu

    def _notebook(self) -> Iterator[str]:
        parts = self.xnnpack_partitions
        shapes = ", ".join(self.dynamic_shapes) or "none"
        yield plain_facts([("XNNPACK partitions", parts), ("dynamic shapes", shapes)])
        yield plain_table("Ops", _TITLES, self._rows(), most=len(self.ops))


def audit(path: str | Path) -> Audit:
    """Return what a LiteRT file is made of, and which runtimes take it.

    Args:
        path: of a `.tflite` file, of `export` or of any other program.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if ai-edge-litert is not installed.
        ValueError: if the file is no LiteRT model.

    Example:
        ```python
        found = keras_vit.audit("photos.tflite")  # a file that export wrote
        print(found.table())
        # op                       count  dtypes               XNNPACK  GPU delegate ...
        ```
    """
    ops = read_ops(path)
    left, partitions = _left_by_xnnpack(path)
    kinds = {op.kind: [o for o in ops if o.kind == op.kind] for op in ops}
    return Audit(
        ops=tuple(
            OpAudit(
                name=kind,
                count=len(same),
                dtypes=tuple(sorted({dtype for op in same for dtype in op.dtypes})),
                xnnpack=None if left is None else len(same) - left[kind],
                gpu=tuple(
                    sorted({reason for op in same if (reason := gpu_refusal(op))})
                ),
            )
            for kind, same in sorted(kinds.items())
        ),
        xnnpack_partitions=partitions,
        dynamic_shapes=tuple(
            sorted({t.text for op in ops for t in op.tensors if t.is_dynamic})
        ),
    )


def list_ops(path: str | Path) -> dict[str, int]:
    """Return each op of a LiteRT file with how often it occurs; custom ones by name.

    Raises:
        ImportError: if ai-edge-litert is not installed.
        ValueError: if the file is no LiteRT model.
    """
    return dict(sorted(Counter(op.kind for op in read_ops(path)).items()))


def check_ops(path: str | Path) -> dict[str, int]:
    """Return the ops of a LiteRT file, all of them built in.

    Raises:
        RuntimeError: if the file holds a Flex or custom op; the message names it.
    """
    ops = list_ops(path)
    custom = [name for name in ops if name.startswith(CUSTOM)]
    if custom:
        raise RuntimeError(
            f"The LiteRT file must hold built-in ops only, received {custom}. {NO_FLEX}"
        )
    return ops


def check_gpu(path: str | Path) -> None:
    """Raise a RuntimeError that names the ops that a GPU delegate would not take."""
    refusals = audit(path).gpu_refusals
    if refusals:
        reasons = "; ".join(f"{name}: {', '.join(r)}" for name, r in refusals.items())
        raise RuntimeError(
            "profile='mobile' promises a file that GPU delegates take as a whole, "
            f"received {reasons}. Nothing was written; export without the profile for "
            "the CPU, or change the part of the model."
        )


def _left_by_xnnpack(path: str | Path) -> tuple[Counter[str] | None, int | None]:
    """Return the ops that XNNPACK does not compute, and in how many parts it does."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError):  # an op without a kernel
        return None, None
    nodes = interpreter._get_ops_details()
    # A delegate replaces nodes, but they stay in the list: who gives the outputs tells.
    givers: dict[int, Any] = {}
    for node in sorted(nodes, key=lambda node: node["op_name"] == "DELEGATE"):
        givers.update((int(index), node) for index in node["outputs"])
    left: Counter[str] = Counter()
    wanted = [int(detail["index"]) for detail in interpreter.get_output_details()]
    seen: set[int] = set()
    while wanted:
        node = givers.get(wanted.pop())
        if node is None or node["index"] in seen:
            continue
        seen.add(node["index"])
        wanted += [int(index) for index in node["inputs"]]
        if node["op_name"] != "DELEGATE":
            left[node["op_name"]] += 1
    return left, sum(node["op_name"] == "DELEGATE" for node in nodes)
