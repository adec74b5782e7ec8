"""Change a LiteRT graph to what GPUs take and CPUs compute faster, bit for bit."""

from __future__ import annotations

from pathlib import Path

from keras_vit.exporting.litert.graph import read_graphs
from keras_vit.exporting.litert.padding import fold_padding
from keras_vit.exporting.litert.products import split_products
from keras_vit.exporting.litert.ranks import expand_operands, keep_batch_axis

# Bytes; a flatbuffer has less than 2 GiB, with what is folded into it.
LARGEST_FILE = 2**31 - 2**24


def suit_gpus(path: str | Path) -> None:
    """Overwrite a file with one that computes the same, and that GPUs take.

    Args:
        path: of the file, in float32, for one image of a fixed size. A file near or
            above 2 GiB is left as it is, and so is one with loops or sizes that only
            the run knows.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    if Path(path).stat().st_size > LARGEST_FILE:
        return
    graph, *of_loops = read_graphs(path)
    # With sizes that only the run knows, what is written is not what they are.
    if of_loops or not graph.has_fixed_shapes():
        return
    fold_padding(graph)
    keep_batch_axis(graph)
    expand_operands(graph)
    split_products(graph)
    graph.drop_unused()
    flatbuffer_utils.write_model(graph.model, str(path))
