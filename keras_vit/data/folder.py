"""Images from a folder with one sub-folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from keras_vit.data.images import Images

EXTENSIONS = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"),
    *(".tif", ".tiff", ".ppm", ".pgm"),
)
# Names under which the parts of a divided data set are found.
PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test",),
}
_MAX_LISTED = 20


def images_from_folder(
    folder: str | Path, *, verify: bool = True, skip_unreadable: bool = False
) -> tuple[dict[str, Images], tuple[str, ...]]:
    """Find the images in `CLASS/*.jpg` or in `train/CLASS/*.jpg`, `val/CLASS/*.jpg`.

    Files with an extension in `EXTENSIONS` count, in upper or lower case and in
    sub-folders too; hidden files and folders do not. Classes are in alphabetical order.

    Args:
        folder: where the class folders, or the parts with class folders, are.
        verify: whether every file is decoded once now, so that a damaged one is found
            before training. Default True.
        skip_unreadable: whether damaged files are left out instead of refused.
            Default False.

    Returns:
        The images of each part ("train", "validation", "test"; everything under "train"
        if the folder is not divided), and the class names.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if there is no image, fewer than two classes, a class without
            images, parts with different classes, or a damaged file; the message lists
            them.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"No folder {str(folder)!r}. Pass a folder with one sub-folder of images "
            "per class, 'digits', or 'tfds:NAME'."
        )
    roots = _parts(folder)
    class_names = _class_names(roots["train"])
    for part, root in roots.items():
        names = _class_names(root)
        if not set(names) <= set(class_names):
            raise ValueError(
                f"Each class in {part!r} must be in 'train', received "
                f"{sorted(set(names) - set(class_names))} only in {str(root)!r}. "
                "Rename or move these folders."
            )
    files = {part: _files(root, class_names) for part, root in roots.items()}
    if verify or skip_unreadable:
        files = _readable(files, skip_unreadable)
    _check_classes(files["train"], class_names, folder)
    for part, found in files.items():
        if not found:
            raise ValueError(
                f"No images in {str(roots[part])!r}. Add some, or remove the folder."
            )
    count = len(class_names)
    parts = {part: _images(found, folder, count) for part, found in files.items()}
    return parts, class_names


def _parts(folder: Path) -> dict[str, Path]:
    present = {path.name.lower(): path for path in _subfolders(folder)}
    found = {
        part: present[name]
        for part, names in PARTS.items()
        for name in reversed(names)
        if name in present
    }
    if "train" in found and _subfolders(found["train"]):
        return found
    return {"train": folder}


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )


def _class_names(root: Path) -> tuple[str, ...]:
    return tuple(path.name for path in _subfolders(root))


def _files(root: Path, class_names: tuple[str, ...]) -> list[tuple[Path, int]]:
    files = []
    for label, name in enumerate(class_names):
        for path in sorted((root / name).rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
            if path.suffix.lower() in EXTENSIONS and path.is_file() and not hidden:
                files.append((path, label))
    return files


def _readable(
    files: dict[str, list[tuple[Path, int]]], skip_unreadable: bool
) -> dict[str, list[tuple[Path, int]]]:
    paths = [path for found in files.values() for path, _ in found]
    with ThreadPoolExecutor() as pool:
        problems = dict(zip(paths, pool.map(_problem, paths), strict=True))
    bad = {path: problem for path, problem in problems.items() if problem}
    if bad and not skip_unreadable:
        listed = [f"  {path}: {problem}" for path, problem in bad.items()]
        more = (
            [f"  and {len(bad) - _MAX_LISTED} more"] if len(bad) > _MAX_LISTED else []
        )
        raise ValueError(
            f"{len(bad)} of {len(paths)} image files cannot be read:\n"
            + "\n".join(listed[:_MAX_LISTED] + more)
            + "\nRepair or remove them, or skip them with skip_unreadable=True "
            "(--skip-unreadable)."
        )
    return {
        part: [(path, label) for path, label in found if path not in bad]
        for part, found in files.items()
    }


def _problem(path: Path) -> str | None:
    """Return why an image file cannot be decoded, or None."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            # An eighth of the size for JPEG: still reads the whole file, much faster.
            image.draft("RGB", (1, 1))
            image.load()
    except Exception as error:  # Pillow's decoders raise many types for bad bytes.
        reason = str(error) or type(error).__name__
        return reason.replace(repr(str(path)), "file").splitlines()[0]
    return None


def _check_classes(
    files: list[tuple[Path, int]], class_names: tuple[str, ...], folder: Path
) -> None:
    if not files:
        raise ValueError(
            f"No images in {str(folder)!r}. Expected one sub-folder per class with "
            f"files that end in {', '.join(EXTENSIONS)}."
        )
    if len(class_names) < 2:
        raise ValueError(
            f"At least two classes are needed, received one, {list(class_names)}, in "
            f"{str(folder)!r}. Put the images of each class in a sub-folder of its own."
        )
    counts = np.bincount([label for _, label in files], minlength=len(class_names))
    empty = [name for name, count in zip(class_names, counts, strict=True) if not count]
    if empty:
        raise ValueError(
            f"Each class needs an image, received none for {empty} in {str(folder)!r}. "
            "Remove these folders or add images."
        )


def _images(files: list[tuple[Path, int]], folder: Path, num_classes: int) -> Images:
    paths = [path for path, _ in files]
    labels = np.array([label for _, label in files], dtype="int64")
    names = "\n".join(path.relative_to(folder).as_posix() for path in paths)
    return Images(paths.__getitem__, labels, identity=names, num_classes=num_classes)


def image_files(paths: Sequence[str | Path]) -> list[Path]:
    """Return image files, with those below folders in the place of each folder.

    Raises:
        FileNotFoundError: if there is nothing at a path.
        ValueError: if a folder holds no image file.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"No file or folder {str(path)!r}. Check the path.")
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS)
        if not inside:
            raise ValueError(
                f"No images in the folder {str(path)!r}: no files that end in "
                f"{', '.join(EXTENSIONS)}."
            )
        found.extend(inside)
    return found
