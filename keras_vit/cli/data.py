"""The options that name a data set, and the data that they open."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from keras_vit.cli.arguments import CompactGroup, add_switches
from keras_vit.data.image_data import ImageData, load_data
from keras_vit.data.sources.lists import ROLES
from keras_vit.data.trained_pictures import TrainedPictures


def add_source(parser: ArgumentParser, *, required: bool = False) -> None:
    """Add the options that say which images."""
    parser.add_argument(
        "--data",
        required=required,
        default="digits",
        metavar="DATA",
        help="digits, a folder, a list such as .csv, an archive, or tfds:NAME",
    )
    add_columns(parser, "path", "label", "split", "group", "weight")
    parser.add_argument("--data-dir", help="where prepared TensorFlow Datasets are")
    add_switches(parser, skip_unreadable="leave damaged files out")


def add_columns(parser: ArgumentParser, *roles: str) -> None:
    """Add the options that say how a list of pictures is read."""
    if "label" in roles:
        about = "images may have several labels, such as cat|dog in a list"
        add_switches(parser, multi_label=about)
    group = CompactGroup(parser, "how a list is read; '' leaves a column out")
    notes = {
        "path": "default: path",
        "label": "with --multi-label also A,B,C of 0 and 1",
    }
    for role in roles:
        group.add_argument(f"--{role}-column", "NAME", notes.get(role, ""))
    if "label" in roles:
        group.add_argument("--label-separator", "TEXT", "of --multi-label; default: |")
    group.add_argument("--image-dir", "DIR", "where paths start")
    group.add_argument("--ending", ".jpg", "added to paths")


def list_options(options: Namespace) -> dict[str, Any]:
    """Return what the options of `add_columns` say, as `load_data` takes it."""
    named = {role: getattr(options, f"{role}_column", None) for role in ROLES}
    columns: dict[str, Any] = {
        role: name or None for role, name in named.items() if name is not None
    }
    if getattr(options, "multi_label", False) and "," in (columns.get("label") or ""):
        columns["label"] = columns["label"].split(",")
    return {
        "columns": columns,
        "image_dir": getattr(options, "image_dir", None),
        "ending": getattr(options, "ending", None),
    }


def open_source(options: Namespace, **how: Any) -> ImageData:
    """Open the data set of `add_source`; `how` goes to `load_data` as well."""
    where = getattr(options, "data_dir", None)
    skip = getattr(options, "skip_unreadable", False)
    how = {**list_options(options), **_label_options(options), **how}
    return load_data(options.data, data_dir=where, skip_unreadable=skip, **how)


def _label_options(options: Namespace) -> dict[str, Any]:
    """Return what the user said of images with several labels."""
    separator = getattr(options, "label_separator", None)
    if not getattr(options, "multi_label", False):
        if separator is not None:
            raise ValueError(
                "--label-separator stands between several labels, received it without "
                "--multi-label. Add that, or leave it out."
            )
        return {}
    return {"multi_label": True, "label_separator": separator or "|"}


def add_split(parser: ArgumentParser) -> None:
    """Add the options that say which images are held out."""
    parser.add_argument(
        "--folds",
        type=int,
        metavar="N",
        help="deal the images into folds",
    )
    parser.add_argument(
        "--fold", type=int, metavar="F", help="the one held out, from 0 to N - 1"
    )
    parser.add_argument(
        "--split-seed",
        type=int,
        help="of the held-out parts; default 0",
    )
    parser.add_argument("--validation-fraction", type=float, help="share held out")
    parser.add_argument("--test-fraction", type=float, help="share held out")


def open_data(options: Namespace) -> ImageData:
    """Open the data set of `add_source`, divided by the options of `add_split`."""
    return open_source(options, **_split(options))


def open_to_judge(options: Namespace, trained: TrainedPictures | None) -> ImageData:
    """Open the data set of `add_source` for judging a model.

    Args:
        options: of the command.
        trained: pictures of the run that made the model. A folder is then not divided:
            `to_judge` finds what is held out. None: it is not known.
    """
    split = _split(options)
    if not split and trained is not None and not trained.parts:
        # A stream, whose pictures nobody has looked at: the same name, the same split.
        split = trained.split if trained.source == options.data else {}
    elif not split and (trained is not None or not _is_named(options.data)):
        split = {"validation_fraction": 0.0, "test_fraction": 0.0}
    return open_source(options, **split)


def has_split(options: Namespace) -> bool:
    """Return whether the user said how the data is divided."""
    return bool(_split(options))


def _split(options: Namespace) -> dict[str, Any]:
    """Return what the user said of the split; nothing is an option left out."""
    given = {
        "folds": getattr(options, "folds", None),
        "fold": getattr(options, "fold", None),
        "validation_fraction": getattr(options, "validation_fraction", None),
        "test_fraction": getattr(options, "test_fraction", None),
        "seed": getattr(options, "split_seed", None),
    }
    return {name: value for name, value in given.items() if value is not None}


def _is_named(source: str) -> bool:
    """Return whether a source has parts that everybody knows."""
    return source == "digits" or source.startswith("tfds:")
