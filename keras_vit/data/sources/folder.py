"""Images from a folder with one sub-folder per class."""

from __future__ import annotations

import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from keras_vit.data.contents import Contents
from keras_vit.data.images import Images
from keras_vit.data.sources.archive import ArchivePath, Place
from keras_vit.data.sources.picture_files import (
    entries,
    expected,
    find_pictures,
    sorted_out,
    tell_left_out,
)
from keras_vit.read_image import holds_several, why_unreadable

# Names under which the parts of a divided data set are found.
PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test",),
}
_MAX_LISTED = 20
_MAX_NAMED = 5
# How names of files end that may hold several pictures.
_OF_SEVERAL = (".gif", ".tif", ".tiff", ".webp", ".apng", ".avif", ".avifs")

Labelled = list[tuple[Place, int]]


def images_from_folder(
    folder: str | Place, *, verify: bool = True, skip_unreadable: bool = False
) -> tuple[dict[str, Images], tuple[str, ...]]:
    """Find the images in `CLASS/*.jpg` or in `train/CLASS/*.jpg`, `val/CLASS/*.jpg`.

    Files whose name ends as a format's that is read count, in upper or lower case, in
    sub-folders and behind links too; hidden files and folders do not. Classes are in
    alphabetical order. A warning counts what is left out: other files by ending, files
    beside the class folders, and parts without class folders, such as a test part
    whose labels nobody knows.

    Args:
        folder: where the class folders, or the parts with class folders, are; it may
            be in an archive.
        verify: whether every file is decoded once now, so that a damaged one is found
            before training. Default True.
        skip_unreadable: whether damaged files are left out instead of refused.
            Default False.

    Returns:
        The images of each part ("train", "validation", "test"; everything under "train"
        if the folder is not divided), and the class names.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if there is no image, no class folder, a class without images, parts
            with different classes, two folders of one part, a link that leads back, or
            a damaged file; the message lists them.
    """
    if not isinstance(folder, ArchivePath):
        folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"No folder {str(folder)!r}. Pass a folder with one sub-folder of images "
            "per class, 'digits', or 'tfds:NAME'."
        )
    roots = _parts(folder)
    class_names = _class_names(roots["train"])
    roots = _labelled(roots, class_names)
    left_out: Counter[str] = Counter()
    files = {p: _files(root, class_names, left_out) for p, root in roots.items()}
    _tell_beside(folder, roots)
    tell_left_out(folder, left_out)
    if verify or skip_unreadable:
        files = _readable(files, skip_unreadable)
    _check_classes(files["train"], class_names, folder, left_out)
    for part, found in files.items():
        if not found:
            raise ValueError(
                f"No images in {str(roots[part])!r}. Add some, or remove the folder."
            )
    count = len(class_names)
    parts = {part: _images(found, count) for part, found in files.items()}
    return parts, class_names


def _parts(folder: Place) -> dict[str, Place]:
    """Return the folder of each part; one part where it is not divided."""
    found: dict[str, Place] = {}
    for path in entries(folder)[0]:
        for part, names in PARTS.items():
            if path.name.lower() not in names:
                continue
            if part in found:
                raise ValueError(
                    f"The {part} part must be one folder, received "
                    f"{found[part].name!r} and {path.name!r} in {str(folder)!r}. "
                    "Rename or move one of them."
                )
            found[part] = path
    if "train" in found and entries(found["train"])[0]:
        return found
    return {"train": folder}


def _class_names(root: Place) -> tuple[str, ...]:
    return tuple(path.name for path in entries(root)[0])


def _labelled(
    roots: dict[str, Place], class_names: tuple[str, ...]
) -> dict[str, Place]:
    """Return the parts that have class folders; warn of the others.

    Raises:
        ValueError: if a part has classes that training lacks.
    """
    labelled = {}
    for part, root in roots.items():
        names = _class_names(root)
        added = sorted(set(names) - set(class_names))
        # A single folder of another name is how Keras's generators read a flat part.
        if not names or (len(names) == 1 and added):
            if part == "train":
                labelled[part] = root
                continue
            count = len(find_pictures(root).paths)
            warnings.warn(
                f"{str(root)!r} has no class folders of {list(class_names[:5])}: its "
                f"{count} pictures have no labels and are left out.",
                stacklevel=4,
            )
            continue
        if added:
            raise ValueError(
                f"Each class in {part!r} must be in 'train', received {added} only in "
                f"{str(root)!r}. Rename or move these folders."
            )
        labelled[part] = root
    return labelled


def _files(
    root: Place, class_names: tuple[str, ...], left_out: Counter[str]
) -> Labelled:
    """Return the images of each class with its number; count other files."""
    files: Labelled = []
    for label, name in enumerate(class_names):
        if (root / name).is_dir():
            found = find_pictures(root / name)
            files += [(path, label) for path in found.paths]
            left_out.update(found.left_out)
    return files


def _tell_beside(folder: Place, roots: dict[str, Place]) -> None:
    """Warn of pictures beside class folders, and of folders beside the parts."""
    beside: list[str] = []
    for root in roots.values():
        pictures = sorted_out(entries(root)[1]).paths
        if pictures and _class_names(root):
            beside.append(f"{len(pictures)} pictures beside the classes in {root.name}")
    if roots["train"] != folder:
        known = {name for names in PARTS.values() for name in names}
        other = [x.name for x in entries(folder)[0] if x.name.lower() not in known]
        beside += [f"the folder {name}" for name in other]
        pictures = sorted_out(entries(folder)[1]).paths
        if pictures:
            beside.append(f"{len(pictures)} pictures beside the parts")
    if beside:
        warnings.warn(
            f"Left out of {str(folder)!r}, as no class or part: {', '.join(beside)}.",
            stacklevel=4,
        )


def _readable(files: dict[str, Labelled], skip_unreadable: bool) -> dict[str, Labelled]:
    paths = [path for found in files.values() for path, _ in found]
    good = set(readable_files(paths, skip_unreadable))
    return {
        part: [(path, label) for path, label in found if path in good]
        for part, found in files.items()
    }


def readable_files(paths: list[Place], skip_unreadable: bool) -> list[Place]:
    """Return the image files that can be read, by decoding each once.

    Args:
        paths: of the files.
        skip_unreadable: whether damaged files are left out, with a warning that lists
            them, instead of refused.

    Raises:
        ValueError: if a file is damaged; the message lists them.
    """
    with ThreadPoolExecutor() as pool:
        problems = dict(zip(paths, pool.map(why_unreadable, paths), strict=True))
    bad = {path: problem for path, problem in problems.items() if problem}
    listed = [f"  {path}: {problem}" for path, problem in bad.items()]
    if len(bad) > _MAX_LISTED:
        listed[_MAX_LISTED:] = [f"  and {len(bad) - _MAX_LISTED} more"]
    if bad and not skip_unreadable:
        raise ValueError(
            f"{len(bad)} of {len(paths)} image files cannot be read:\n"
            + "\n".join(listed)
            + "\nRepair or remove them, or skip them with skip_unreadable=True "
            "(--skip-unreadable)."
        )
    if bad:
        warnings.warn(
            f"{len(bad)} of {len(paths)} image files cannot be read and are left "
            "out:\n" + "\n".join(listed),
            stacklevel=5,
        )
    good = [path for path in paths if path not in bad]
    _tell_several(good)
    return good


def _tell_several(paths: list[Place]) -> None:
    """Warn of files with several pictures, of which the first is read."""
    possible = [path for path in paths if path.suffix.lower() in _OF_SEVERAL]
    with ThreadPoolExecutor() as pool:
        several = pool.map(holds_several, possible)
    names = [x.name for x, more in zip(possible, several, strict=True) if more]
    if names:
        listed = ", ".join(names[:_MAX_NAMED]) + (", ..." if names[_MAX_NAMED:] else "")
        warnings.warn(
            f"{len(names)} files hold several pictures (animations or pages), of which "
            f"the first is read and the others are left out: {listed}.",
            stacklevel=6,
        )


def _check_classes(
    files: Labelled,
    class_names: tuple[str, ...],
    folder: Place,
    left_out: Counter[str],
) -> None:
    if not files:
        raise ValueError(
            f"No images in {str(folder)!r}: one sub-folder per class, "
            f"{expected(left_out)}"
        )
    counts = np.bincount([label for _, label in files], minlength=len(class_names))
    empty = [name for name, count in zip(class_names, counts, strict=True) if not count]
    if empty:
        raise ValueError(
            f"Each class needs an image, received none for {empty} in {str(folder)!r}. "
            "Remove these folders or add images."
        )


def _images(files: Labelled, num_classes: int) -> Images:
    paths = [path for path, _ in files]
    labels = np.array([label for _, label in files], dtype="int64")
    contents = Contents(paths.__getitem__, len(paths))
    return Images(paths.__getitem__, labels, num_classes=num_classes, contents=contents)
