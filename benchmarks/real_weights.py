"""DINOv2 ViT-S/14 with its trained weights: the same numbers as elsewhere, and files.

Needs a folder that transformers opens (config.json, model.safetensors). Where it also
holds `backbone.onnx`, from images (B, 3, 224, 224) to the tokens after the last norm,
that is a second reference.

Without `--litert`: the tokens after the last norm, of photographs, against ONNX Runtime
and against transformers' `Dinov2Model`, which resamples positions by itself, at several
sizes. Error: largest difference relative to the largest value.

With `--litert`: LiteRT files of the model without a head and with one, in several
precisions, calibrated on pictures that the head was fitted on, and judged on others:
cosine between the features of the file and those of float32, agreement of a head on
them, and that of the file with the head inside. The head is a logistic regression
on labelled pictures, a folder of class folders.

Command: KERAS_BACKEND=jax python benchmarks/real_weights.py FOLDER [--all]
    [--photos FOLDER]
    KERAS_BACKEND=jax python benchmarks/real_weights.py FOLDER --litert
    --photos CLASS_FOLDERS [--precisions float16 int8 ...]
Takes about a minute per backend on two cores, half an hour with `--litert`. Target: all
at most 1e-5.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from backends import run_on_each_backend
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

import keras_vit

TOLERANCE = 1e-5
ONNX_SIZE = (224, 224)
SIZES = (ONNX_SIZE, (518, 518), (224, 308), (350, 140), (518, 294), (98, 98))
NUM_PHOTOS = 4
PRECISIONS = ["float16", "dynamic_int8", "weight_only_int8", "int8", "mixed_int8"]
NUM_FITTED, NUM_JUDGED, NUM_CALIBRATION = 600, 300, 32


def photographs(folder: Path | None) -> list[Image.Image]:
    """Return real photographs: of a folder, else those of scikit-learn and others."""
    if folder is not None:
        return [Image.open(path).convert("RGB") for path in sorted(folder.iterdir())]
    from matplotlib.cbook import get_sample_data
    from sklearn.datasets import load_sample_images

    arrays: list[Any] = [*load_sample_images().images]
    arrays.append(np.asarray(Image.open(get_sample_data("grace_hopper.jpg"))))
    pictures = [Image.fromarray(array) for array in arrays]
    return [*pictures, pictures[0].transpose(Image.Transpose.ROTATE_90)]


def pixels(model: keras_vit.ViT, pictures: list[Image.Image], size: Any) -> np.ndarray:
    """Return photographs as the model takes them, float32 (N, H, W, C)."""
    how = replace(cast(Any, model.preprocessing), image_size=size)
    return np.stack([how(picture) for picture in pictures])


def onnx_reference(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from images to tokens in ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / "backbone.onnx"))
    name = session.get_inputs()[0].name

    def run(images: np.ndarray) -> np.ndarray:
        # The graph may have been made for one image at a time.
        rows = [session.run(None, {name: image[None]})[0] for image in first(images)]
        return np.concatenate(rows)  # pyright: ignore

    return run


def transformers_reference(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from images to tokens in transformers."""
    import torch

    from tests import peers

    peers.import_timm()  # Makes torchvision importable.
    from transformers import AutoModel

    model = AutoModel.from_pretrained(str(folder)).eval()

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            given = torch.from_numpy(first(images))
            return model(given).last_hidden_state.numpy()

    return run


def first(images: np.ndarray) -> np.ndarray:
    """Return images with their channels first."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference relative to the largest value."""
    if found.shape != expected.shape:
        raise ValueError(f"shapes differ: {found.shape} and {expected.shape}")
    return float(abs(found - expected).max() / abs(expected).max())


def compare(folder: Path, pictures: list[Image.Image]) -> bool:
    """Print the errors at each size; return whether all are small."""
    import keras

    references = {"transformers": transformers_reference(folder)}
    if (folder / "backbone.onnx").is_file():
        references["ONNX"] = onnx_reference(folder)
    any_size = keras_vit.load(folder, pooling=None, image_size=None)
    worst = 0.0
    for size in SIZES:
        fixed = keras_vit.load(folder, pooling=None, image_size=size)
        images = pixels(fixed, pictures, size)
        ours = {"its size": fixed, "any size": any_size}
        for reference, run in references.items():
            if reference == "ONNX" and size != ONNX_SIZE:
                continue
            expected = run(images)
            for kind, model in ours.items():
                found = keras.ops.convert_to_numpy(model(images))
                value = error(found, expected)
                worst = max(worst, value)
                name = f"{size[0]} x {size[1]}"
                backend = keras.backend.backend()
                print(
                    f"| {backend} | {name} | {kind} | {reference} | {value:.1e} |",
                    flush=True,
                )
    return worst <= TOLERANCE


def fitted_head(
    model: keras_vit.ViT, data: keras_vit.ImageData
) -> tuple[keras_vit.ViT, np.ndarray]:
    """Return the model with a logistic regression as its head, and its features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    vectors = keras_vit.embed(model, list(data.train.pictures()))  # pyright: ignore
    scaler, head = StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)
    make_pipeline(scaler, head).fit(vectors, data.train.labels)
    kernel = (head.coef_ / scaler.scale_).T
    bias = head.intercept_ - scaler.mean_ @ kernel
    classifier = keras_vit.replace_head(model, data.num_classes)
    classifier.class_names = data.class_names
    logits = classifier.get_layer("head").logits
    logits.kernel.assign(kernel)
    logits.bias.assign(bias)
    return classifier, vectors


def run_file(path: Path, images: np.ndarray) -> np.ndarray:
    """Return what a LiteRT file computes, (N, K), one image at a time."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=2)
    interpreter.allocate_tensors()
    feed = interpreter.get_input_details()[0]["index"]
    given = interpreter.get_output_details()[0]["index"]
    found = []
    for image in images:
        interpreter.set_tensor(feed, image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(given)[0])
    return np.stack(found)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cosine of each row of two matrices."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(1) / lengths


def litert(folder: Path, photos: Path, precisions: list[str]) -> None:
    """Print what each precision of a LiteRT file keeps of the features."""
    from sklearn.model_selection import train_test_split

    whole = keras_vit.load_data(photos, validation_fraction=0, verify=False).train
    labels, names = whole.labels, keras_vit.load_data(photos, verify=False).class_names
    train, rest = train_test_split(
        np.arange(len(labels)), train_size=NUM_FITTED, stratify=labels, random_state=0
    )
    test = np.random.default_rng(0).permutation(rest)[:NUM_JUDGED]
    fitted = keras_vit.ImageData(
        name="photos", class_names=names, train=whole.subset(train)
    )
    model = keras_vit.load(folder, image_size=224)
    classifier, _ = fitted_head(model, fitted)
    as_model_takes: Any = model.preprocessing
    images = np.stack([as_model_takes(whole.read(int(i))) for i in test])
    calibration = [whole.read(int(i)) for i in train[:NUM_CALIBRATION]]
    kernel, bias = classifier.get_layer("head").logits.get_weights()
    exact, exact_logits = np.zeros(0), np.zeros(0)
    titles = ("precision", "MB", "cosine, mean", "worst")
    titles += ("head on them", "head inside", "accuracy")
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for name in ["float32", *precisions]:
        needs = name in ("int8", "int16x8", "mixed_int8")
        found, parts = [], ()
        with tempfile.TemporaryDirectory() as scratch:
            for kind, given in {"features": model, "logits": classifier}.items():
                report = keras_vit.export(
                    given,
                    Path(scratch) / f"{kind}.tflite",
                    quantization=name,
                    calibration=calibration if needs else None,
                    images=calibration[:2],
                    accept_loss=True,
                    report=False,
                )
                found.append(run_file(report.path, images))
                size, parts = report.path.stat().st_size, report.float_parts
        features, logits = found
        if name == "float32":
            exact, exact_logits = features, logits
        near = cosines(features, exact)
        top = exact_logits.argmax(1)
        on_them = np.mean((features @ kernel + bias).argmax(1) == top)
        inside = np.mean(logits.argmax(1) == top)
        accuracy = np.mean(logits.argmax(1) == labels[test])
        print(
            f"| {name} | {size / 1e6:.1f} | {near.mean():.4f} | {near.min():.4f} | "
            f"{on_them:.4f} | {inside:.4f} | {accuracy:.4f} | {' '.join(parts)}",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="config.json, model.safetensors, ...")
    parser.add_argument("--all", action="store_true", help="all three backends")
    parser.add_argument("--photos", type=Path, help="folder of pictures")
    parser.add_argument("--litert", action="store_true", help="files, not parity")
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, metavar="NAME")
    options = parser.parse_args()
    if options.litert:
        litert(options.folder, options.photos, options.precisions)
        return 0
    if options.all:
        photos = ["--photos", str(options.photos)] if options.photos else []
        run_on_each_backend(__file__, str(options.folder), *photos)
        return 0
    pictures = photographs(options.photos)[:NUM_PHOTOS]
    return 0 if compare(options.folder, pictures) else 1


if __name__ == "__main__":
    sys.exit(main())
