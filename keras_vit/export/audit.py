"""The ops that a LiteRT file is made of."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

CUSTOM = "CUSTOM"


def list_ops(path: str | Path) -> dict[str, int]:
    """Return each op of a LiteRT file with how often it occurs; custom ones by name.

    Raises:
        ImportError: if ai-edge-litert is not installed.
        ValueError: if the file is no LiteRT model.
    """
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise ImportError(
            "The LiteRT runtime is needed to read a .tflite file. Install it with "
            "pip install 'keras3-vit[export]'."
        ) from error
    names = {
        number: name
        for name, number in vars(schema.BuiltinOperator).items()
        if not name.startswith("_")
    }
    content = Path(path).read_bytes()
    if content[4:8] != b"TFL3":
        raise ValueError(f"{str(path)!r} is no LiteRT model, or a damaged one.")
    # Generated code, where each table may be missing.
    model: Any = schema.Model.GetRootAs(content, 0)
    codes = []
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        # Files from before 2020 have the op in the first of two fields.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = names[number]
        if name == CUSTOM:
            name = f"{CUSTOM}:{code.CustomCode().decode()}"
        codes.append(name)
    counts: Counter[str] = Counter()
    for i in range(model.SubgraphsLength()):
        graph = model.Subgraphs(i)
        for j in range(graph.OperatorsLength()):
            counts[codes[graph.Operators(j).OpcodeIndex()]] += 1
    return dict(sorted(counts.items()))


def check_ops(path: str | Path) -> dict[str, int]:
    """Return the ops of a LiteRT file, all of them built in.

    Raises:
        RuntimeError: if the file holds a Flex or custom op; the message names it.
    """
    ops = list_ops(path)
    custom = [name for name in ops if name.startswith(CUSTOM)]
    if custom:
        raise RuntimeError(
            f"The LiteRT file must hold built-in ops only, received {custom}. Flex and "
            "custom ops need a runtime that phones and browsers do not have. Nothing "
            "was written; use another activation or layer."
        )
    return ops
