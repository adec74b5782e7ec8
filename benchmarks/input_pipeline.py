"""Images per second of the input pipeline beside timm's, with DeiT's augmentation.

JPEG files of 500 x 375 pixels and the like, quality 90, cut from scikit-learn's two
sample pictures, become batches of 224 pixels: random resized crop (bicubic), flip,
rand-m9-mstd0.5-inc1, random erasing 0.25, MixUp 0.8 and CutMix 1.0. timm reads with
`create_loader` and `Mixup`, with and without its prefetcher on the CPU (then
`FastCollateMixup`), with two and three worker processes, of which the fastest counts.
All take turns, an epoch each, workers warm; the ratio is ours over timm's fastest,
median over rounds with quartiles. Two rows of processor time, in one process, hardly
depend on what else the machine does. Pin it to two cores:

    taskset -c 0,1 python benchmarks/input_pipeline.py         2 to 4 minutes
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_vit import Augmentation, Preprocessing, load_data
from keras_vit.data import Mixing, to_engine, to_torch

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 32
CLASSES = 2


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=256, help="files")
    parser.add_argument("--rounds", type=int, default=7, help="epochs of each")
    return parser.parse_args()


def write_photos(folder: Path, count: int) -> None:
    """Write JPEG files of sizes as ImageNet's, in two classes."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(image) for image in load_sample_images().images]
    for i in range(count):
        label = i % len(pictures)
        width, height = ((500, 375), (375, 500), (500, 333), (400, 300))[i // 2 % 4]
        picture = pictures[label].resize((800, 640), Image.Resampling.BICUBIC)
        left, top = rng.integers(800 - width), rng.integers(640 - height)
        part = picture.crop((left, top, left + width, top + height))
        path = folder / f"class_{label}" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True, parents=True)
        part.save(path, quality=90)


def ours(
    folder: Path, engine: str, workers: int = 2, processes: int = 0
) -> Callable[[], Iterable[Any]]:
    data = load_data(folder, validation_fraction=0.0)
    batches = data.train.batches(
        Preprocessing(mean=MEAN, std=STD),
        BATCH,
        training=True,
        augmentation=Augmentation(
            crop_area=(0.08, 1.0),
            horizontal_flip=True,
            rand_augment=True,
            random_erasing=0.25,
        ),
        mixing=Mixing(mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.1),
        workers=workers,
    )
    if processes:
        loader = to_torch(batches, workers=processes)
        return lambda: loader
    given = to_engine(batches, engine)  # pyright: ignore[reportArgumentType]
    return lambda: given


def import_timm() -> Any:
    """Import timm, with CPU builds of torch and Pillow 13 too."""
    name = "torchvision._meta_registrations"
    sys.modules.setdefault(name, types.ModuleType(name))
    import timm.data
    from timm.data import auto_augment

    posterize = auto_augment.posterize

    def keep_a_bit(image: Any, bits: int, **options: Any) -> Any:
        # Pillow 13 refuses 0 bits, which timm draws at times.
        return posterize(image, max(1, bits), **options)

    auto_augment.NAME_TO_OP["PosterizeIncreasing"] = keep_a_bit
    return timm


def theirs(folder: Path, workers: int, prefetcher: bool) -> Callable[[], Iterable[Any]]:
    import torch

    timm = import_timm()
    torch.set_num_threads(1)
    options = {
        "mixup_alpha": 0.8,
        "cutmix_alpha": 1.0,
        "label_smoothing": 0.1,
        "num_classes": CLASSES,
    }
    collate = timm.data.FastCollateMixup(**options) if prefetcher else None
    loader = timm.data.create_loader(
        timm.data.ImageDataset(str(folder)),
        input_size=(3, 224, 224),
        batch_size=BATCH,
        is_training=True,
        auto_augment="rand-m9-mstd0.5-inc1",
        re_prob=0.25,
        re_mode="pixel",
        interpolation="bicubic",
        mean=MEAN,
        std=STD,
        num_workers=workers,
        use_prefetcher=prefetcher,
        collate_fn=collate,
        device=torch.device("cpu"),
    )
    if prefetcher:
        return lambda: loader
    mixup = timm.data.Mixup(**options)
    return lambda: (mixup(images, labels) for images, labels in loader)


def seconds(epoch: Callable[[], Iterable[Any]]) -> float:
    start = time.perf_counter()
    for batch in epoch():
        if batch[0].shape[0] != BATCH:
            raise ValueError(f"A batch has {batch[0].shape[0]} images, not {BATCH}.")
    return time.perf_counter() - start


def processor_times(
    folder: Path, rounds: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return processor seconds of an epoch in this process, and ratios to timm's."""
    arms = {
        "timm": theirs(folder, 0, False),
        "timm, prefetcher": theirs(folder, 0, True),
        "ours": ours(folder, "threads"),
    }
    times: dict[str, list[float]] = {name: [] for name in arms}
    for i in range(rounds + 1):
        for name, arm in arms.items():
            start = time.process_time()
            seconds(arm)
            if i:  # The first warms up.
                times[name].append(time.process_time() - start)
    found = {name: np.array(values) for name, values in times.items()}
    best = min(np.median(found["timm"]), np.median(found["timm, prefetcher"]))
    return found, {name: best / values for name, values in found.items()}


def main() -> None:
    args = parse_arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_photos(folder, args.images)
        # Processes first: they are forked before there are threads.
        arms = {
            f"timm, {workers} worker(s){', prefetcher' if prefetcher else ''}": theirs(
                folder, workers, prefetcher
            )
            for workers in (2, 3)
            for prefetcher in (False, True)
        }
        for arm in arms.values():
            seconds(arm)
        arms["ours, torch, 2 workers"] = ours(folder, "torch", processes=2)
        for workers in (2, 3):
            arms[f"ours, {workers} threads"] = ours(folder, "threads", workers)
        arms["ours, tf.data"] = ours(folder, "tf.data")
        names = list(arms)
        for name in names[4:]:
            seconds(arms[name])
        times = np.zeros((args.rounds, len(names)))
        load = os.getloadavg()[0]
        for i in range(args.rounds):
            for j in np.roll(np.arange(len(names)), i):
                times[i, j] = seconds(arms[names[j]])
        spent, shares = processor_times(folder, args.rounds)
    count = args.images // BATCH * BATCH
    rates = count / times
    best = min(np.median(times[:, :4], axis=0))
    peer = times[:, :4][:, np.median(times[:, :4], axis=0) == best][:, 0]
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, load {load:.1f} before, {os.getloadavg()[0]:.1f} after")
    print("| loader | images per second | ratio to timm's fastest | quartiles |")
    print("|---|---|---|---|")
    for j, name in enumerate(names):
        low, middle, high = np.percentile(peer / times[:, j], (25, 50, 75))
        rate = np.median(rates[:, j])
        print(f"| {name} | {rate:.0f} | {middle:.2f} | {low:.2f} to {high:.2f} |")
    print("\n| processor time | ms per image | ratio | quartiles |\n|---|---|---|---|")
    for name, values in spent.items():
        low, middle, high = np.percentile(shares[name], (25, 50, 75))
        cost = np.median(values) / count * 1e3
        print(f"| {name} | {cost:.2f} | {middle:.2f} | {low:.2f} to {high:.2f} |")


if __name__ == "__main__":
    main()
