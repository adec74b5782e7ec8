"""Change a LiteRT graph to what GPUs take and CPUs compute faster, bit for bit."""

from __future__ import annotations

from pathlib import Path

from keras_vit.export.converters.editable_graph import Graph
from keras_vit.export.converters.padding import fold_padding
from keras_vit.export.converters.products import split_products
from keras_vit.export.converters.ranks import expand_operands, keep_batch_axis

# Bytes; a flatbuffer has less than 2 GiB, with what is folded into it.
LARGEST_FILE = 2**31 - 2**24


def suit_gpus(path: str) -> None:
    """Overwrite a file with one that computes the same, and that GPUs take.

    Args:
        path: of the file, in float32, for one image of a fixed size. A file near or
            above 2 GiB is left as it is, and so is one with loops or sizes that only
            the run knows.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    if Path(path).stat().st_size > LARGEST_FILE:
        return
    model = flatbuffer_utils.read_model(path)
    if len(model.subgraphs) > 1:  # Of a loop or a condition, which no layer has.
        return
    graph = Graph(model)
    if not graph.has_fixed_shapes():  # Then what is written is not what they are.
        return
    fold_padding(graph)
    keep_batch_axis(graph)
    expand_operands(graph)
    split_products(graph)
    graph.drop_unused()
    flatbuffer_utils.write_model(model, path)
