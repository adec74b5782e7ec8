"""What a check of a data set found, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.inspecting.pictures import PictureFacts
from keras_vit.pages.in_notebook import InNotebook, note, plain_facts, plain_table
from keras_vit.pages.parts import unfold

_SHOWN_GROUPS, _SHOWN_PICTURES = 5, 4


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One kind of thing that a user should look at.

    Args:
        kind: a name for programs, such as "between_splits".
        looked_for: what it is one of, in words, such as "equal pictures".
        title: what was found, with its number.
        advice: what to do.
        groups: numbers of pictures; those of a group belong together.
        notes: what there is to say of each group; may be empty.
    """

    kind: str
    looked_for: str
    title: str
    advice: str
    groups: tuple[tuple[int, ...], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DataCheck(InNotebook):
    """What `check_data` found.

    Args:
        name: of the data.
        class_names: in the order of the labels; empty if there are no classes.
        pictures: each one, in the order of the parts.
        findings: what to look at, the worst first.
        looked_for: kinds of findings that were looked for and not found, in words.
        left_out: files that are no pictures, and other things that loading said.
        open: from the number of a picture to the picture, PIL, perhaps reduced.

    Example:
        ```python
        found = keras_vit.check_data("photos/")
        found.counts  # {'train': {'cat': 12, 'dog': 12}}
        found.findings  # ()
        found.looked_for[:2]  # ('files that cannot be read', 'equal pictures')
        ```
    """

    name: str
    class_names: tuple[str, ...]
    pictures: tuple[PictureFacts, ...] = field(repr=False)
    findings: tuple[Finding, ...] = field(repr=False)
    looked_for: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    open: Any = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return self.text()

    def finding(self, kind: str) -> Finding | None:
        """Return the finding of one kind, or None."""
        return next((found for found in self.findings if found.kind == kind), None)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Number of pictures of each class in each part, readable or not."""
        found: dict[str, dict[str, int]] = {}
        for part in dict.fromkeys(picture.part for picture in self.pictures):
            inside = Counter(p.label for p in self.pictures if p.part == part)
            names = self.class_names or ("pictures",)
            found[part] = {name: inside[label] for label, name in enumerate(names)}
        return found

    @property
    def formats(self) -> dict[str, int]:
        """Number of readable pictures of each format, the most frequent first."""
        return dict(Counter(p.format for p in self._readable()).most_common())

    @property
    def sizes(self) -> dict[str, list[int]]:
        """Smallest, median and largest width and height."""
        found = {}
        for side in ("width", "height"):
            values = [getattr(picture, side) for picture in self._readable()]
            if values:
                middle = int(np.median(values))
                found[side] = [min(values), middle, max(values)]
        return found

    @property
    def aspect_ratios(self) -> list[float]:
        """Smallest, median and largest width over height."""
        ratios = [picture.width / picture.height for picture in self._readable()]
        if not ratios:
            return []
        return [round(float(f(ratios)), 2) for f in (np.min, np.median, np.max)]

    def describe(self, number: int) -> str:
        """Return how texts call a picture: its path in the folder, or its name."""
        path = Path(self.pictures[number].name)
        folder = Path(self.name).expanduser()
        is_inside = path.is_relative_to(folder)
        return (path.relative_to(folder) if is_inside else path).as_posix()

    def class_of(self, number: int) -> str:
        """Return the name of the class of a picture, "" if there are no classes."""
        return self.class_names[self.pictures[number].label] if self.class_names else ""

    def text(self) -> str:
        """Return what was found in lines."""
        lines = [self._title()]
        for part, classes_of in self.counts.items():
            each = ", ".join(f"{name} {n:,}" for name, n in _largest(classes_of))
            lines.append(f"  {part:12}{sum(classes_of.values()):,}: {each}")
        lines += [f"  {name:12}{text}" for name, text in self.summary()]
        for found in self.findings:
            lines += ["", f"{found.title}. {found.advice}", *self._groups_text(found)]
        if not self.findings:
            lines += ["", "Nothing was found that needs a look."]
        if self.looked_for:
            lines += ["", f"Looked for and not found: {', '.join(self.looked_for)}."]
        return "\n".join(lines)

    def _title(self) -> str:
        count = _n(len(self.pictures), "picture")
        classes = len(self.class_names)
        inside = f" in {_n(classes, 'class')}" if classes else ""
        return f"{self.name}: {count}{inside}"

    def _notebook(self) -> Iterator[str]:
        yield note(self._title())
        counts = self.counts
        names = list(next(iter(counts.values()), {}))
        rows = [(name, *(part[name] for part in counts.values())) for name in names]
        yield plain_table("Pictures of each class", ("class", *counts), rows)
        yield plain_facts(self.summary())
        for found in self.findings:
            groups = "\n".join(line.strip() for line in self._groups_text(found))
            yield note(f"{found.title}. {found.advice}", "warning")
            yield unfold("Which ones", [note(groups)]) if groups else ""
        if not self.findings:
            yield note("Nothing was found that needs a look.")
        if self.looked_for:
            yield note(f"Looked for and not found: {', '.join(self.looked_for)}.")

    def summary(self) -> list[tuple[str, str]]:
        """Return sizes, shapes, formats and what was left out, each with its name."""
        rows = []
        if self.sizes:
            (w0, w1, w2), (h0, h1, h2) = self.sizes["width"], self.sizes["height"]
            low, middle, high = self.aspect_ratios
            sizes = f"width {w0} to {w2}, height {h0} to {h2}; median {w1} x {h1}"
            is_one = (w0, h0) == (w2, h2)
            rows.append(("pixels", f"{w0} x {h0}, each" if is_one else sizes))
            shapes = f"width / height {low:g} to {high:g}, median {middle:g}"
            rows.append(("shape", f"width / height {low:g}" if low == high else shapes))
            each = ", ".join(f"{name} {n:,}" for name, n in self.formats.items())
            rows.append(("formats", each))
        return rows + [("loading", text) for text in self.left_out]

    def as_json(self) -> dict[str, Any]:
        """Return what was found as JSON has it, with each picture of each finding."""
        return {
            "name": self.name,
            "pictures": len(self.pictures),
            "class_names": list(self.class_names),
            "parts": self.counts,
            "sizes": self.sizes,
            "aspect_ratios": self.aspect_ratios,
            "formats": self.formats,
            "left_out": list(self.left_out),
            "findings": [
                {
                    "kind": found.kind,
                    "title": found.title,
                    "advice": found.advice,
                    "groups": [
                        {
                            "pictures": [self._as_json(n) for n in group],
                            "note": _at(found.notes, place),
                        }
                        for place, group in enumerate(found.groups)
                    ],
                }
                for found in self.findings
            ],
            "not_found": list(self.looked_for),
        }

    def _readable(self) -> list[PictureFacts]:
        return [picture for picture in self.pictures if picture.problem is None]

    def _groups_text(self, found: Finding) -> Iterator[str]:
        for place, group in enumerate(found.groups[:_SHOWN_GROUPS]):
            names = [self.describe(number) for number in group[:_SHOWN_PICTURES]]
            more = len(group) - len(names)
            names += [f"and {more} more"] if more else []
            note = _at(found.notes, place)
            yield f"  {' = '.join(names)}{f': {note}' if note else ''}"
        more = len(found.groups) - _SHOWN_GROUPS
        if more > 0:
            yield f"  and {more:,} more (--output and --json have all)"

    def _as_json(self, number: int) -> dict[str, str]:
        picture = self.pictures[number]
        known = {"name": picture.name, "part": picture.part}
        return {**known, "class": self.class_of(number)}


def _at(notes: tuple[str, ...], place: int) -> str:
    return notes[place] if notes else ""


def _n(count: int, word: str) -> str:
    plural = word + ("es" if word.endswith("s") else "s")
    return f"{count:,} {word if count == 1 else plural}"


def _largest(counts: dict[str, int], most: int = 12) -> list[tuple[str, int]]:
    """Return the classes with most pictures, and the number of the others."""
    found = sorted(counts.items(), key=lambda item: -item[1])
    rest = found[most:]
    if rest:
        found[most:] = [(f"{len(rest)} more classes", sum(n for _, n in rest))]
    return found
