"""TFLite's standard metadata, which MediaPipe Tasks and Android Studio read.

It is a flatbuffer of its own inside the model, under the name TFLITE_METADATA, and
names the files that are zipped behind the model. Field numbers and values are those of
`metadata_schema.fbs`, version 1.0.0, whose order is part of the format.

Reference: https://github.com/google-ai-edge/mediapipe/blob/master/mediapipe/tasks/
metadata/metadata_schema.fbs
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.exporting.litert.oldest_runtime import require_runtime
from keras_vit.metadata import LABELS_NAME

NAME = "TFLITE_METADATA"
IDENTIFIER = b"M001"
LARGEST_SIZE = 2**31 - 2**20  # of a flatbuffer, with room for what is written here
PARSER_VERSION = "1.0.0"  # the first, which has all that is written here

# Values of unions and enumerations.
IMAGE_PROPERTIES = np.uint8(2)
NORMALIZATION_OPTIONS = np.uint8(1)
SCORE_THRESHOLDING_OPTIONS = np.uint8(3)
TENSOR_AXIS_LABELS = np.int8(2)
COLOR_SPACES = {3: np.int8(1), 1: np.int8(2)}

# Slot of each field that is written: the order of the schema.
MODEL = ("name", "description", "version", "subgraphs", "author", "license")
MODEL += ("files", "parser")
SUBGRAPH = ("name", "description", "inputs", "outputs")
TENSOR = ("name", "description", "dimensions", "content", "process_units")
TENSOR += ("stats", "files")
CONTENT = ("type", "properties")
IMAGE = ("color_space", "default_size")
SIZE = ("width", "height")
PROCESS_UNIT = ("type", "options")
NORMALIZATION = ("mean", "std")
SCORE_THRESHOLDING = ("global_score_threshold",)
FILE = ("name", "description", "type")

_SUMMARY = "Vision Transformer, an image classifier."


class Table(dict[int, Any]):
    """A table of a flatbuffer: values by slot; what is None is left out.

    Values are strings, NumPy numbers, tables, and lists of tables or of floats.
    """

    def __init__(self, slots: tuple[str, ...], **fields: Any) -> None:
        super().__init__(
            (slots.index(name), value)
            for name, value in fields.items()
            if value is not None
        )


def write_tflite_metadata(
    path: Path, metadata: dict[str, Any], is_mobile: bool = False
) -> str:
    """Put the standard metadata into a `.tflite` file that has none.

    Return the oldest TensorFlow Lite that computes the file right; "" if unknown.

    Files above 2 GB stay without: they are no flatbuffers as a whole, and MediaPipe
    does not open them.

    Args:
        path: of the file, before anything is zipped behind it.
        metadata: what the file says about itself, see `metadata.py`.
        is_mobile: whether it is for the GPU of a phone.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    if path.stat().st_size > LARGEST_SIZE:
        return ""
    model = flatbuffer_utils.read_model(str(path))
    oldest = require_runtime(model, is_mobile)
    content = _packed(describe_model(metadata, _output_names(model)), IDENTIFIER)
    model.buffers.append(flatbuffer_utils.BufferT(data=np.frombuffer(content, "uint8")))
    entry = flatbuffer_utils.schema_fb.MetadataT(NAME, len(model.buffers) - 1)
    model.metadata = [*(model.metadata or []), entry]
    builder = _builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(builder.Output())
    return oldest


def describe_model(metadata: dict[str, Any], outputs: list[str]) -> Table:
    """Return the metadata of a model in the terms of the standard schema."""
    about = metadata.get("about", {})
    subgraph = Table(
        SUBGRAPH,
        name=about.get("name"),
        inputs=[_input(metadata)],
        outputs=[_output(name, metadata) for name in outputs],
    )
    made_by = ", ".join(f"{k} {v}" for k, v in about.get("provenance", {}).items())
    sentences = (
        about.get("description") or _SUMMARY,
        made_by and f"Made by {made_by}.",
    )
    return Table(
        MODEL,
        name=about.get("name"),
        description=" ".join(filter(None, sentences)),
        version=about.get("version"),
        subgraphs=[subgraph],
        author=about.get("author"),
        license=about.get("license"),
        parser=PARSER_VERSION,
    )


def _input(metadata: dict[str, Any]) -> Table:
    feed, preprocessing = metadata["input"], metadata["preprocessing"]
    height, width, channels = feed["shape"][1:]
    size = None  # Any.
    if None not in (height, width):
        size = Table(SIZE, width=np.uint32(width), height=np.uint32(height))
    image = Table(IMAGE, color_space=COLOR_SPACES.get(channels), default_size=size)
    is_normalized = feed["values"] != "pixels" and preprocessing
    units = [_normalization(preprocessing or {})] if is_normalized else None
    description = "Normalized image." if is_normalized else "Pixels in [0, 255]."
    if preprocessing is None:
        description = "Image as the model takes it; nothing says how it is made."
    return Table(
        TENSOR,
        name=feed["name"],
        description=description,
        content=Table(CONTENT, type=IMAGE_PROPERTIES, properties=image),
        process_units=units,
    )


def _normalization(preprocessing: dict[str, Any]) -> Table:
    """Return mean and standard deviation in units of the pixels, [0, 255].

    Whatever `value_range` says of arrays: those who read this hand in bytes.
    """
    means = [255 * mean for mean in preprocessing["mean"]]
    stds = [255 * std for std in preprocessing["std"]]
    if len({*zip(means, stds, strict=True)}) == 1:  # one number means: each channel
        means, stds = means[:1], stds[:1]
    options = Table(NORMALIZATION, mean=means, std=stds)
    return Table(PROCESS_UNIT, type=NORMALIZATION_OPTIONS, options=options)


def _output(name: str, metadata: dict[str, Any]) -> Table:
    labels = None
    is_main = name == metadata["output"]["name"]
    # MediaPipe wants a label for each value; a single value has names for no and yes.
    if metadata["class_names"] and is_main and "threshold" not in metadata["output"]:
        labels = [
            Table(
                FILE,
                name=LABELS_NAME,
                description="Names of the classes, one per line.",
                type=TENSOR_AXIS_LABELS,
            )
        ]
    thresholds = metadata["output"].get("thresholds")
    has_scores = is_main and name == "probabilities" and thresholds
    units = [_least_score(thresholds)] if has_scores else None
    return Table(TENSOR, name=name, process_units=units, files=labels)


def _least_score(thresholds: list[float]) -> Table:
    """Return below which probability no class is shown.

    The schema has one number for all classes: the lowest, which hides none that is
    there. Those of each class are in our own metadata.
    """
    options = Table(
        SCORE_THRESHOLDING, global_score_threshold=np.float32(min(thresholds))
    )
    return Table(PROCESS_UNIT, type=SCORE_THRESHOLDING_OPTIONS, options=options)


def _output_names(model: Any) -> list[str]:
    """Return the names in the signature, in the order of the output tensors."""
    (signature,) = model.signatureDefs
    names = {}
    for entry in signature.outputs:
        name = entry.name
        names[entry.tensorIndex] = name if isinstance(name, str) else name.decode()
    return [names[index] for index in model.subgraphs[0].outputs]


def _packed(table: Table, identifier: bytes) -> bytes:
    builder = _builder()
    builder.Finish(_write(builder, table), file_identifier=identifier)
    return bytes(builder.Output())


def _write(builder: Any, value: Any) -> int:
    """Write a string, list or table behind what is there; return where it is."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, list):
        if not isinstance(value[0], Table):
            return builder.CreateNumpyVector(np.array(value, "float32"))
        offsets = [_write(builder, entry) for entry in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    # A flatbuffer is written from its leaves: a table may not be open meanwhile.
    places = {
        slot: None if isinstance(field, np.generic) else _write(builder, field)
        for slot, field in value.items()
    }
    builder.StartObject(max(value, default=-1) + 1)
    for slot, place in places.items():
        if place is not None:
            builder.PrependUOffsetTRelativeSlot(slot, place, 0)
        else:
            _NUMBERS[value[slot].dtype.name](builder, slot, value[slot])
    return builder.EndObject()


_NUMBERS = {
    "uint8": lambda builder, slot, x: builder.PrependUint8Slot(slot, int(x), 0),
    "int8": lambda builder, slot, x: builder.PrependInt8Slot(slot, int(x), 0),
    "uint32": lambda builder, slot, x: builder.PrependUint32Slot(slot, int(x), 0),
    "float32": lambda builder, slot, x: builder.PrependFloat32Slot(slot, float(x), 0.0),
}


def _builder() -> Any:
    import flatbuffers

    class Builder(flatbuffers.Builder):
        """Keeps the weights at multiples of 16 bytes, as TFLite's schema wants it.

        The Python code that flatbuffers generates leaves that out.
        """

        def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802
            if x.dtype == np.uint8:
                self.Prep(16, x.size)
            return super().CreateNumpyVector(x)

    return Builder(1024)
