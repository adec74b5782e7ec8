"""Which pictures a run trained on, and which of a data set are held out from it."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from keras_vit.data.image_data import ImageData, Part
from keras_vit.data.images import Images, joined
from keras_vit.files import replacing

FILE_NAME = "pictures.npz"
PARTS = ("train", "validation", "test")
# All pictures of a data set that is not divided.
ALL = "all"


@dataclass(frozen=True)
class TrainedPictures:
    """The pictures of a run, by content.

    Args:
        source: name of the data.
        split: arguments of `load_data` that divided it. Where pictures have no
            contents, as in a stream, only source and split tell which they were.
        parts: from "train", "validation" and "test" to the contents of their pictures,
            uint64; empty where they have none.
    """

    source: str
    split: dict[str, Any]
    parts: dict[str, np.ndarray]

    def are(self, contents: np.ndarray, *names: str) -> np.ndarray:
        """Return which pictures are in one of these parts, bool (N,)."""
        found = [self.parts[name] for name in names if name in self.parts]
        return np.isin(contents, np.concatenate([np.zeros(0, "uint64"), *found]))


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Pictures to judge a model by.

    Args:
        name: "train", "validation", "test", or "all".
        images: the pictures.
        num_trained_on: how many of them the model was trained on. None: not known.
        num_new: how many of them were no part of the data of its run.
    """

    name: str
    images: Part
    num_trained_on: int | None = None
    num_new: int = 0


def trained_pictures(data: ImageData) -> TrainedPictures:
    """Return what a run that trains on `data` has to remember."""
    parts = {
        name: part.content
        for name, part in data.parts.items()
        if isinstance(part, Images) and part.content is not None
    }
    return TrainedPictures(data.name, dict(data.split), parts)


def write_trained_pictures(folder: Path, trained: TrainedPictures) -> None:
    """Write them to the output folder of a run."""
    arrays: Any = trained.parts
    facts = json.dumps({"source": trained.source, "split": trained.split})
    with replacing(folder / FILE_NAME) as temporary:
        np.savez(temporary, facts=np.array(facts), **arrays)


def read_trained_pictures(folder: str | Path) -> TrainedPictures | None:
    """Return the pictures of the run in `folder`, None if it says nothing.

    Raises:
        ValueError: if the file is damaged.
    """
    path = Path(folder) / FILE_NAME
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            facts = json.loads(str(found["facts"]))
            parts = {name: found[name] for name in PARTS if name in found.files}
            return TrainedPictures(facts["source"], facts["split"], parts)
    except Exception as error:  # A damaged zip raises many types.
        raise ValueError(
            f"{str(path)!r} says which pictures the model was trained on, and is "
            f"damaged ({error}). Copy it again, or remove it: then it is not known "
            "which pictures were held out."
        ) from error


def to_judge(
    data: ImageData, part: str | None = None, trained: TrainedPictures | None = None
) -> Judged:
    """Choose the pictures that a model is judged by.

    Without a wish these are pictures that it was not trained on. Of the data of its
    run: the test part, else the validation part, with what has been added since. Of
    other data: all, or the part that its folders hold out.

    Args:
        data: from `load_data`.
        part: "train", "validation", "test" or "all"; of data that is not divided, the
            part that it was in the run. Default None: as above. If nothing is known of
            the run: the test part, else validation, else train.
        trained: pictures of the run that made the model, None if it is not known.

    Raises:
        ValueError: if there is no such part.
    """
    parts = [p for p in data.parts.values() if isinstance(p, Images)]
    is_known = (
        trained and all(p.contents for p in parts) and len(parts) == len(data.parts)
    )
    if trained is None or not trained.parts or not is_known:
        if part == ALL:
            return Judged(name=ALL, images=_all(data))
        name, images = data.held_out if part is None else (part, data.part(part))
        if trained is not None and not _is_same_split(data, trained):
            warnings.warn(
                f"Nobody knows which images of {data.name!r} the model was trained on: "
                "what a set holds is known of folders and arrays only. It may be "
                f"some of the part {name!r}.",
                stacklevel=3,
            )
        return Judged(name=name, images=images)
    whole = joined(parts)
    if part == ALL:
        return _judged(ALL, whole, trained)
    # What is not divided has no part of its own: "train" is then that of the run.
    is_divided = len(parts) > 1
    is_of_run = trained.are(_contents(whole), *PARTS).any()
    if part is not None and (is_divided and part in data.parts or not is_of_run):
        return _judged(part, data.part(part), trained)
    if is_of_run:
        return _of_run(whole, part, trained)
    name, images = data.held_out if data.own_parts else (ALL, whole)
    return _judged(name, images, trained)


def _is_same_split(data: ImageData, trained: TrainedPictures) -> bool:
    """Return whether name and split are those of the run, for sets without contents."""
    is_same = (data.name, dict(data.split)) == (trained.source, trained.split)
    return is_same and not trained.parts


def _all(data: ImageData) -> Part:
    parts = [*data.parts.values()]
    if len(parts) == 1:
        return parts[0]
    if not all(isinstance(part, Images) for part in parts):
        raise ValueError(
            f"The parts of a stream are judged one by one, received part={ALL!r}. "
            f"Choose one of {[*data.parts]}."
        )
    return joined(parts)  # pyright: ignore[reportArgumentType]


def _of_run(whole: Images, part: str | None, trained: TrainedPictures) -> Judged:
    """Return pictures of the data of a run as it had divided them."""
    contents = _contents(whole)
    seen, new = trained.are(contents, "train"), ~trained.are(contents, *PARTS)
    held_out = {n: trained.are(contents, n) & ~seen for n in ("test", "validation")}
    found = {name: is_in for name, is_in in held_out.items() if is_in.any()}
    if part is None:
        part = next(iter(found), "test" if new.any() else "train")
        chosen = seen if part == "train" else found.get(part, new) | new
    elif part in found or part == "train":
        chosen = found.get(part, seen)
    else:
        raise ValueError(
            f"The parts of the run are {['train', *found]}, received part={part!r}. "
            "Choose one of them."
        )
    return _judged(part, whole.subset(whole.indices[chosen]), trained)


def judged_again(judged: Judged, trained: TrainedPictures | None) -> Judged:
    """Return the same pictures, and how many another model was trained on.

    Args:
        judged: of `to_judge`.
        trained: pictures of the run that made the other model, None if not known.
    """
    contents = getattr(judged.images, "content", None)
    if trained is None or not trained.parts or contents is None:
        return Judged(name=judged.name, images=judged.images)
    return _judged(judged.name, judged.images, trained)


def _judged(name: str, images: Any, trained: TrainedPictures) -> Judged:
    contents = _contents(images)
    return Judged(
        name=name,
        images=images,
        num_trained_on=int(trained.are(contents, "train").sum()),
        num_new=int((~trained.are(contents, *PARTS)).sum()),
    )


def _contents(images: Images) -> np.ndarray:
    return cast(np.ndarray, images.content)  # `to_judge` has looked.
