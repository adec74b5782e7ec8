"""The order of a LiteRT file's outputs."""

from __future__ import annotations

from pathlib import Path

from keras_vit.exporting.litert.gpu_graph import LARGEST_FILE


def put_first(path: Path, name: str) -> None:
    """Overwrite a file with one whose first output is the one of that name.

    TensorFlow's converter sorts outputs by name, and programs that know no signatures,
    MediaPipe among them, take the first. A file near or above 2 GiB is left as it is.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    if path.stat().st_size > LARGEST_FILE:
        return
    model = flatbuffer_utils.read_model(str(path))
    (signature,) = model.signatureDefs
    (first,) = (o.tensorIndex for o in signature.outputs if _text(o.name) == name)
    outputs = model.subgraphs[0].outputs
    outputs = [first, *(int(index) for index in outputs if index != first)]
    model.subgraphs[0].outputs = outputs
    signature.outputs.sort(key=lambda output: outputs.index(output.tensorIndex))
    flatbuffer_utils.write_model(model, str(path))


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode()
