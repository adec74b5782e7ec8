"""What users do on the page, and what they see there."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

import keras_vit

DROP = """([text, type, name]) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name, { type }));
    const options = { bubbles: true, cancelable: true, dataTransfer };
    const event = new DragEvent("drop", options);
    return document.getElementById("stage").dispatchEvent(event);
}"""


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def choose(page: Any, content: bytes, name: str = "picture.png") -> None:
    file = {"name": name, "mimeType": "image/png", "buffer": content}
    page.set_input_files("#file", file)


def drop(page: Any, content: bytes) -> bool:
    """Drop a file; return whether the browser does with it what it always does."""
    text = base64.b64encode(content).decode()
    return page.evaluate(DROP, [text, "image/png", "picture.png"])


def results(page: Any) -> dict[int, float]:
    """Return the probabilities on the page, best first, by number of the class."""
    page.wait_for_selector("#results li")
    found = page.eval_on_selector_all(
        "#results li",
        "items => items.map((i) => [i.dataset.index, i.dataset.probability])",
    )
    return {int(index): float(probability) for index, probability in found}


def check_results(page: Any, model: Any, picture: Any) -> None:
    [expected] = keras_vit.predict(model, [picture], top=5)
    found = results(page)
    assert list(found)[0] == expected[0].index
    np.testing.assert_allclose(
        list(found.values()), [p.probability for p in expected], atol=1e-3
    )


def problem(page: Any) -> str:
    page.wait_for_function("document.getElementById('problem').textContent")
    return page.inner_text("#problem")
