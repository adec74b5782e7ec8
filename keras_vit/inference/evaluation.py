"""How good a classifier is on one part of a data set, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from keras_vit.data.class_matching import NONE_OF_THESE
from keras_vit.data.trained_pictures import ALL
from keras_vit.inference.picture_answers import PictureAnswers
from keras_vit.label_scores import LabelScores
from keras_vit.pages.in_notebook import InNotebook

_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation(InNotebook):
    """How good a classifier is on one part of a data set.

    Args:
        part: "train", "validation", "test", or "all".
        num_images: in that part.
        accuracy: share of the images whose most likely class is the right one; of
            images with several labels, of those whose labels are all right, and no
            other.
        loss: mean cross-entropy, nats; of several labels the mean over the classes.
        calibration_error: expected calibration error (arXiv:1706.04599): mean distance
            of the probability of the most likely class from how often it is right, in
            15 bins by that probability; of several labels that of each yes from how
            often it is. None if it was not measured.
        rejected: share of the images of which the model says "none of these", which
            are counted as wrong; None if it has no such answer.
        top5_accuracy: share of the images whose class is among the five most likely;
            None if there are no more than five classes.
        num_trained_on: how many of the images the model was trained on; None if that is
            not known.
        num_new: how many of them were no part of the data of its run.
        classes_without_images: those of the model that had no picture in the part, and
            so count nothing in the accuracy.
        labels: more about images with several labels; None if they have one.
        answers: what the model says of each image, from which `report` is made. It is
            no part of texts, JSON and comparisons.

    Example:
        ```python
        data = keras_vit.load_data("photos/")
        found = keras_vit.evaluate("saved_models/photos", data, part="all")
        found.part, found.num_images  # ('all', 24)
        print(f"{found.accuracy:.0%} of the pictures are right")
        found.answers.probabilities.shape  # (24, 2)
        ```
    """

    part: str
    num_images: int
    accuracy: float
    loss: float
    calibration_error: float | None = None
    rejected: float | None = None
    top5_accuracy: float | None = None
    num_trained_on: int | None = None
    num_new: int = 0
    classes_without_images: tuple[str, ...] = ()
    labels: LabelScores | None = None
    answers: PictureAnswers | None = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> list[Any]:
        # Another process gets the numbers. The model and the pictures stay here.
        names = [one.name for one in fields(self)]
        return [None if name == "answers" else getattr(self, name) for name in names]

    def as_json(self) -> dict[str, Any]:
        """Return what is known, as JSON values."""
        names = [one.name for one in fields(self) if one.name != "answers"]
        found = {name: getattr(self, name) for name in names}
        if self.labels is not None:
            found["labels"] = asdict(self.labels)
        return {k: v for k, v in found.items() if v not in (None, ())}

    def report(
        self,
        path: str | Path,
        *,
        against: Any = None,
        heat_maps: bool = True,
        near_duplicates: bool | None = None,
        command: str | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write where the model errs as one HTML file, and return its path.

        It asks no other server, is complete without JavaScript, and holds small copies
        of some pictures: at most 10 MB. `docs/evaluate.md` says what is in it.

        Args:
            path: of the file, ends in ".html".
            against: another model, as in `evaluate`, or its `Evaluation` on the same
                images: which images one gets right and the other does not, and
                McNemar's test. Default None: the report is about one model.
            heat_maps: whether the mistakes of a Keras `ViT` are shown with a map of
                `explain`. Default True.
            near_duplicates: whether to look for pictures that are nearly equal, in the
                images and what the model was trained on, as `check_data` does. Default
                None: up to 2,000 pictures; more take minutes. Equal ones are counted
                always.
            command: that made the report, for those who read it. Default: none.
            overwrite: whether a file that is there is replaced. Default False.

        Raises:
            FileExistsError: if there is a file that is not to be replaced.
            OSError: if it cannot be written.
            ValueError: if the name does not end in ".html", nothing is known of each
                image, or the other evaluation is of other images.

        Example:
            ```python
            data = keras_vit.load_data("photos/")
            found = keras_vit.evaluate("saved_models/photos", data)
            print(found.report("errors.html"))  # errors.html
            ```
        """
        # The report draws maps, with what stands beside this module.
        from keras_vit.reporting.report import write_report

        return write_report(
            self,
            path,
            against=against,
            heat_maps=heat_maps,
            near_duplicates=near_duplicates,
            command=command,
            overwrite=overwrite,
        )

    def _notebook(self) -> Iterable[str]:
        from keras_vit.reporting.summary import in_notebook

        return in_notebook(self)

    def text(self) -> str:
        """Return one line for people, and one per class if images have several."""
        top5, labels = self.top5_accuracy, self.labels
        error = self.calibration_error
        several = "" if labels is None else f"{labels.text()}, all labels right: "
        table = "" if labels is None else f"\n{labels.table()}"
        return (
            f"{several}accuracy {self.accuracy:.4f}"
            f"{'' if top5 is None else f', top-5 {top5:.4f}'}, loss {self.loss:.4f}"
            f"{'' if error is None else f', calibration error {error:.4f}'} on "
            f"{self.num_images} {'' if self.part == ALL else f'{self.part} '}images"
            f"{self._rejects()}{self._about_training()}{self._without()}{table}"
        )

    def _rejects(self) -> str:
        share = self.rejected
        return "" if share is None else f", {share:.1%} rejected as {NONE_OF_THESE!r}"

    def _about_training(self) -> str:
        if self.num_trained_on is None:
            return ""
        if self.num_trained_on and self.part != "train":
            return f"; the model was TRAINED ON {self.num_trained_on} of them"
        if self.num_new == self.num_images:
            return ", none of which the model was trained on"
        new = f", {self.num_new} of them new since the model was trained"
        return new if self.num_new else ""

    def _without(self) -> str:
        names = self.classes_without_images
        listed = ", ".join(names[:_MOST_NAMED])
        more = ", ..." if len(names) > _MOST_NAMED else ""
        return f"; no image of {len(names)} classes: {listed}{more}" if names else ""
