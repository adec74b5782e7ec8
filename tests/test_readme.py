"""What docs/model.md prints runs."""

import re
from pathlib import Path

import numpy as np

import keras_vit

PAGE = Path(__file__).parents[1] / "docs" / "model.md"


def snippet(section: str) -> str:
    """Return the first Python code of a section."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n", 1)[1]
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_parts_of_a_recipe_run_as_printed():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 16, 16, 3), dtype="uint8")
    data = keras_vit.load_data((pixels, np.arange(12) % 3), validation_fraction=0)
    model = keras_vit.ViT(
        16,
        16,
        **{"hidden_dim": 8, "num_layers": 10, "num_heads": 1, "mlp_dim": 8},
        num_classes=3,
        preprocessing=keras_vit.Preprocessing(image_size=16),
    )
    names = {"model": model, "data": data}
    exec(snippet("Training"), names)  # noqa: S102
    assert int(names["optimizer"].iterations) == 1
