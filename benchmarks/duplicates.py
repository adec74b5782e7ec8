"""What `check_data` finds of what was planted: copies and wrong labels.

Copies: of pictures drawn from a folder with class folders, each one encoded again,
resized to half, or slightly cropped (up to a tenth of each side, anywhere), beside all
others. A pair that was not planted counts as false. Near duplicates that the set has
itself are printed first: they are not counted.

Wrong labels (with `--weights`): 3 % of the labels become another class. Precision and
recall of confident learning here and of the package cleanlab, if it is installed, on
the same probabilities out of fold. What classes hold in truth cannot be known: pictures
that are hard to tell count as false.

Command: KERAS_BACKEND=torch python benchmarks/duplicates.py FOLDER [--planted 150]
    [--weights SOURCE]
Takes a minute for 2,000 pictures on two cores, and with weights what features take.
Target: at least 95 % of each kind, 0 false.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

import keras_vit
from keras_vit.heads.kept_features import kept_features
from keras_vit.inspecting.candidates import vectors_of
from keras_vit.inspecting.duplicates import near_pairs
from keras_vit.inspecting.labels import likely_wrong, out_of_fold

NOISE = 0.03


def encoded(picture: Image.Image, quality: int) -> Image.Image:
    """Return a picture as a JPEG makes it."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def again(picture: Image.Image, rng: Generator) -> Image.Image:
    """Return it encoded once more, 30 to 90."""
    return encoded(picture, int(rng.integers(30, 91)))


def half(picture: Image.Image, rng: Generator) -> Image.Image:
    """Return it at half its size."""
    size = (picture.width // 2, picture.height // 2)
    how = [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BOX]
    return encoded(picture.resize(size, how[rng.integers(3)]), 85)


def cropped(picture: Image.Image, rng: Generator) -> Image.Image:
    """Return 90 to 98 % of each side, from anywhere; half of them in the old size."""
    keeps = rng.uniform(0.9, 0.98, size=2)
    width, height = (round(k * s) for k, s in zip(keeps, picture.size, strict=True))
    left = int(rng.integers(0, picture.width - width + 1))
    upper = int(rng.integers(0, picture.height - height + 1))
    part = picture.crop((left, upper, left + width, upper + height))
    return encoded(part.resize(picture.size) if rng.random() < 0.5 else part, 85)


CHANGES: dict[str, Callable[[Image.Image, Generator], Image.Image]] = {
    "encoded again": again,
    "half the size": half,
    "slightly cropped": cropped,
}


def find_copies(pictures: list[Image.Image], planted: int) -> bool:
    """Plant copies of each kind, and print how many pairs are found."""
    rng = np.random.default_rng(0)
    all_of, sources, kinds = list(pictures), list(range(len(pictures))), []
    for kind, change in CHANGES.items():
        for number in rng.permutation(len(pictures))[:planted]:
            all_of.append(change(pictures[number], rng))
            sources.append(int(number))
            kinds.append(kind)
    start = time.perf_counter()
    vectors = np.stack([vectors_of(picture.convert("L")) for picture in all_of])
    pairs = near_pairs(vectors, range(len(all_of)), all_of.__getitem__)
    seconds = time.perf_counter() - start
    found, own, wrong = set(), [], []
    for a, b in pairs:
        if sources[a] == sources[b]:
            found |= {n for n in (a, b) if n >= len(pictures)}
        elif max(a, b) < len(pictures):
            own.append((a, b))
        else:
            wrong.append((a, b))
    print(f"{len(all_of):,} pictures compared in {seconds:.0f} s")
    print(f"near duplicates that the set itself has: {len(own)} {own[:5]}")
    print("| planted | found |\n|---|---|")
    shares = []
    for place, kind in enumerate(CHANGES):
        first = len(pictures) + place * planted
        count = len(found & set(range(first, first + planted)))
        shares.append(count / planted)
        print(f"| {kind} | {count} of {planted} |")
    print(f"| false pairs | {len(wrong)} |")
    return min(shares) >= 0.95 and not wrong


def find_labels(features: dict[str, np.ndarray], labels: np.ndarray) -> None:
    """Make some labels wrong, and print who finds them."""
    rng = np.random.default_rng(0)
    changed = rng.permutation(len(labels))[: round(NOISE * len(labels))]
    given = labels.copy()
    for number in changed:
        others = [c for c in np.unique(labels) if c != labels[number]]
        given[number] = rng.choice(others)
    is_wrong = given != labels
    judged = out_of_fold(features, given, np.arange(len(given)))
    if judged is None:
        raise SystemExit("The classes are too small for two folds.")
    kind, probabilities = judged
    accuracy = np.mean(probabilities.argmax(1) == labels)
    print(
        f"\n{is_wrong.sum()} of {len(labels):,} labels wrong; accuracy out of fold of"
    )
    print(f"a head on {kind}, on the right ones: {accuracy:.3f}")
    print("| | found | precision | recall | precision of the first as many |")
    print("|---|---|---|---|---|")
    ranked = {"check_data": likely_wrong(probabilities, given)}
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        print("cleanlab is not installed", file=sys.stderr)
    else:
        for method in ("prune_by_noise_rate", "confident_learning"):
            ranked[f"cleanlab, {method}"] = find_label_issues(
                given,
                probabilities,
                filter_by=method,
                return_indices_ranked_by="normalized_margin",
            )
    for name, found in ranked.items():
        right = is_wrong[found]
        first = right[: is_wrong.sum()].sum() / is_wrong.sum()
        cells = (len(found), right.mean(), right.sum() / is_wrong.sum(), first)
        print("| {} | {} | {:.3f} | {:.3f} | {:.3f} |".format(name, *cells))


def main() -> int:
    """Plant, look and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--planted", type=int, default=150, help="copies of each kind")
    parser.add_argument("--weights", help="checkpoint whose features judge labels")
    options = parser.parse_args()
    data = keras_vit.load_data(options.folder, validation_fraction=0, verify=False)
    pictures = [Image.open(path).convert("RGB") for path in data.train.pictures()]  # pyright: ignore
    is_right = find_copies(pictures, options.planted)
    if not options.weights:
        return 0 if is_right else 1
    model = keras_vit.load(options.weights, image_size="preprocessing")
    features = kept_features(model, [data.train])
    find_labels(features, np.asarray(data.train.labels))
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
