"""What a fitted head can do, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from keras_vit.heads.rejection import FalseAlarms
from keras_vit.heads.temperature import Temperature
from keras_vit.pages.in_notebook import InNotebook, note, plain_table
from keras_vit.training.run_folder import HEAD_FILE

# A gain that matters could hide in a margin as wide as this.
_UNCLEAR = 0.03


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One kind of features in the cross-validation.

    Args:
        features: name of the kind.
        width: length of the vector.
        strength: of the penalty that did best; scikit-learn's C is its inverse.
        accuracy: share of the pictures that were right while they were held out; of
            several labels per picture, share of each yes and no.
        loss: mean cross-entropy of the same, nats.
    """

    features: str
    width: int
    strength: float
    accuracy: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """How good a head of a part of the data is.

    Args:
        share: of the training pictures.
        num_images: that many.
        accuracy: on pictures that were held out.
        margin: half the width of its 95 % interval.
    """

    share: float
    num_images: int
    accuracy: float
    margin: float


@dataclass(frozen=True, kw_only=True)
class HeadReport(InNotebook):
    """How a head was chosen, and what it will reach.

    Args:
        num_images: that it was fitted on.
        num_folds: of the cross-validation.
        num_compared: pictures in the cross-validation; fewer than `num_images` if there
            are very many.
        features: name of the kind that was chosen.
        dtype: that the features were computed in.
        temperature: that the logits are divided by, and what that changes.
        false_alarms: pictures of the classes that are rejected as none of them; None
            if the model always names a class.
        tried: each kind of features with its best penalty.
        neighbours: accuracy of the ten nearest pictures, on the chosen features.
        class_means: accuracy of the nearest mean of a class; None for several labels.
        majority: share of the largest class; of several labels, accuracy of what is
            most often right for each.
        curve: accuracy with a part of the pictures.
        num_computed: pictures that the backbone ran over; the others were kept.
        seconds: that took.
        mean_average_precision: of the chosen head on held-out pictures; None for one
            label per picture.

    Example:
        ```python
        data = keras_vit.load_data("photos/")
        backbone = keras_vit.load("facebook/dinov2-small", image_size="preprocessing")
        model = keras_vit.fit_head(backbone, data, output="head", verbose=False)
        report = keras_vit.HeadReport.read("head")
        report.num_images, report.num_folds  # (20, 5)
        print(report.text())
        # Cross-validation in 5 parts: ...
        ```
    """

    num_images: int
    num_folds: int
    num_compared: int
    features: str
    dtype: str
    temperature: Temperature = field(repr=False)
    false_alarms: FalseAlarms | None = field(repr=False)
    tried: tuple[Tried, ...] = field(repr=False)
    neighbours: float
    class_means: float | None
    majority: float
    curve: tuple[CurvePoint, ...] = field(repr=False)
    num_computed: int
    seconds: float
    mean_average_precision: float | None = None

    @classmethod
    def read(cls, folder: str | Path) -> HeadReport:
        """Return the report that `fit_head` wrote to its output folder.

        Args:
            folder: the output folder, with `head.json`.

        Raises:
            FileNotFoundError: if there is no such file.
        """
        text = (Path(folder).expanduser() / HEAD_FILE).read_text(encoding="utf-8")
        found = json.loads(text)
        alarms = found["false_alarms"]
        found |= {
            "temperature": Temperature(**found["temperature"]),
            "false_alarms": None if alarms is None else FalseAlarms(**alarms),
            "tried": tuple(Tried(**row) for row in found["tried"]),
            "curve": tuple(CurvePoint(**row) for row in found["curve"]),
        }
        # One of an earlier version lacks what has a default here.
        known = [one.name for one in fields(cls) if one.name in found]
        return cls(**{name: found[name] for name in known})

    @property
    def best(self) -> Tried:
        """The kind of features that was chosen."""
        return next(row for row in self.tried if row.features == self.features)

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)

    def text(self) -> str:
        """Return some lines for people."""
        of = f"of {self.num_compared} pictures" * (self.num_compared < self.num_images)
        precision = self.mean_average_precision
        lines = [f"Cross-validation in {self.num_folds} parts {of}".rstrip() + ":"]
        if precision is not None:
            lines = [
                f"Mean average precision {precision:.3f}; accuracy is that of each yes "
                "and no.",
                *lines,
            ]
        for row in sorted(self.tried, key=lambda row: row.loss):
            chosen = "  chosen" if row.features == self.features else ""
            lines.append(
                f"  head on {row.features:<12} accuracy {row.accuracy:.3f}, loss "
                f"{row.loss:.3f}{chosen}"
            )
        lines.append(f"  nearest pictures     accuracy {self.neighbours:.3f}")
        if self.class_means is not None:
            lines.append(f"  nearest class mean   accuracy {self.class_means:.3f}")
        lines += [
            f"  largest class        accuracy {self.majority:.3f}",
            f"{self.temperature.text()}.",
            *([f"{self.false_alarms.text()}."] if self.false_alarms else ()),
            "With a part of the pictures:",
        ]
        for point in self.curve:
            lines.append(
                f"  {point.share:>4.0%} ({point.num_images}): accuracy "
                f"{point.accuracy:.3f} ± {point.margin:.3f}"
            )
        return "\n".join([*lines, self.would_more_help()])

    def _notebook(self) -> Iterator[str]:
        if self.mean_average_precision is not None:
            yield note(f"Mean average precision {self.mean_average_precision:.3f}")
        rows = [
            (
                f"head on {row.features}"
                + ", chosen" * (row.features == self.features),
                f"{row.accuracy:.3f}",
                f"{row.loss:.3f}",
            )
            for row in sorted(self.tried, key=lambda row: row.loss)
        ]
        others = {
            "nearest pictures": self.neighbours,
            "nearest class mean": self.class_means,
            "largest class": self.majority,
        }
        rows += [(name, f"{v:.3f}", "") for name, v in others.items() if v is not None]
        caption = f"Cross-validation in {self.num_folds} parts"
        yield plain_table(caption, ("", "accuracy", "loss"), rows)
        yield plain_table(
            "With a part of the pictures",
            ("share", "pictures", "accuracy", "95% interval"),
            [
                (
                    f"{p.share:.0%}",
                    p.num_images,
                    f"{p.accuracy:.3f}",
                    f"± {p.margin:.3f}",
                )
                for p in self.curve
            ],
        )
        yield note(f"{self.would_more_help()}\n{self.temperature.text()}.")
        if self.false_alarms is not None:
            yield note(f"{self.false_alarms.text()}.")

    def would_more_help(self) -> str:
        """Say whether more photographs would help, from the end of the curve."""
        half, whole = self.curve[-2:]
        gain = whole.accuracy - half.accuracy
        noise = max(half.margin, whole.margin)
        said = f"From half of the pictures to all, accuracy went {gain:+.3f}"
        if gain > noise:
            return f"{said}: more photographs would help."
        if gain > 0.5 * noise:
            return (
                f"{said}, hardly more than chance: more photographs may help a little."
            )
        if noise > _UNCLEAR:
            return f"{said} ± {noise:.3f}: too few pictures to tell whether more help."
        return (
            f"{said}, no more than chance: more photographs of this kind help little."
        )
