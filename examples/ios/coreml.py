"""A Core ML model of a `.pt2` file, with image input, class labels and preprocessing.

    keras-vit export MODEL --format torch --output model.pt2
    pip install torch==2.13.0 coremltools==9.0
    python examples/ios/coreml.py model.pt2 Model.mlpackage

Runs on Linux and macOS; what it writes runs on iOS 16, macOS 13 or newer. Keras is not
needed. `--check PICTURE` computes the converted program in NumPy, operation by
operation, and prints it beside torch: on Linux Core ML itself does not run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import coremltools as ct
import numpy as np
import torch
from PIL import Image


class Photo(torch.nn.Module):
    """From pixels, (1, C, H, W) from 0 to 255, to probabilities."""

    def __init__(self, model: torch.nn.Module, facts: dict[str, Any]) -> None:
        super().__init__()
        preprocessing = facts["preprocessing"]
        # As pictures are normalized: (pixels / 255 - mean) / std.
        mean, std = (torch.tensor(preprocessing[k]) for k in ("mean", "std"))
        self.register_buffer("scale", (1 / 255 / std).float())
        self.register_buffer("offset", (-mean / std).float())
        self.model = model
        self.name = facts["output"]["name"]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        images = image.permute(0, 2, 3, 1) * self.scale + self.offset
        found = self.model(images)[self.name]
        return found if self.name == "probabilities" else torch.softmax(found, -1)


def read(path: Path) -> tuple[torch.export.ExportedProgram, dict[str, Any]]:
    """Return the photo model of a `.pt2` file, and what the file says of itself."""
    extra = {"keras_vit.json": ""}
    exported = torch.export.load(path, extra_files=extra)
    facts = json.loads(extra["keras_vit.json"])
    for what in ("preprocessing", "class_names"):
        if not facts.get(what):
            raise SystemExit(
                f"A classifier of pictures needs {what}, received a file without. Set "
                f"model.{what} before keras_vit.export."
            )
    shape = facts["input"]["shape"]
    image = torch.zeros(1, shape[3], shape[1], shape[2])
    photo = Photo(exported.module(), facts)
    program = torch.export.export(photo, (image,)).run_decompositions({})
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        # Another name of a tensor, which coremltools 9 does not know.
        if node.target is torch.ops.aten.alias.default:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    return program, facts


def convert(program: Any, facts: dict[str, Any], **options: Any) -> Any:
    """Return the Core ML model, or with convert_to="milinternal" its program."""
    _, height, width, channels = facts["input"]["shape"]
    layout = ct.colorlayout.GRAYSCALE if channels == 1 else ct.colorlayout.RGB
    image = ct.ImageType("image", (1, channels, height, width), color_layout=layout)
    names = list(facts["class_names"])
    return ct.convert(
        program,
        inputs=[image],
        outputs=None,
        classifier_config=ct.ClassifierConfig(names),
        minimum_deployment_target=ct.target.iOS16,
        **options,
    )


def compute(program: Any, pixels: np.ndarray) -> np.ndarray:
    """Return what the operations of a converted program compute, in NumPy.

    Each operation of coremltools knows how to infer its value from those of its inputs.
    """
    main = program.functions["main"]
    (image,) = main.inputs.values()
    image._sym_val = SimpleNamespace(val=pixels)
    found = np.zeros(0)
    for operation in main.operations:
        if operation.op_type == "classify":
            break
        if operation.op_type != "const":
            values = operation.value_inference()
            if not isinstance(values, tuple):
                values = (values,)
            for variable, value in zip(operation.outputs, values, strict=True):
                variable._sym_val = SimpleNamespace(val=value)
            found = values[0]
    return np.asarray(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="of keras-vit export --format torch")
    parser.add_argument("output", type=Path, help="new .mlpackage")
    parser.add_argument("--check", type=Path, metavar="PICTURE")
    options = parser.parse_args()
    program, facts = read(options.file)
    model = convert(program, facts)
    model.short_description = facts.get("description", "")
    model.user_defined_metadata["keras_vit.json"] = json.dumps(facts)
    model.save(str(options.output))
    print(options.output)
    if options.check:
        _, height, width, channels = facts["input"]["shape"]
        picture = Image.open(options.check).convert("L" if channels == 1 else "RGB")
        pixels = np.asarray(picture.resize((width, height)), "float32")
        pixels = pixels.reshape(1, height, width, channels).transpose(0, 3, 1, 2)
        expected = program.module()(torch.from_numpy(pixels.copy())).detach().numpy()
        same = convert(
            program,
            facts,
            convert_to="milinternal",
            compute_precision=ct.precision.FLOAT32,
        )
        found = compute(same, pixels)
        best = facts["class_names"][int(expected.argmax())]
        print(f"torch: {best} {expected.max():.4f}")
        print(f"largest difference of the program: {abs(found - expected).max():.1e}")


if __name__ == "__main__":
    main()
