"""LiteRT.js on WebGPU, in headless Chromium: the engine of phones' GPU delegates."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.web.runtime import write_runtime

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# SwiftShader computes on the CPU what a graphics card would.
ARGUMENTS = [
    "--no-sandbox",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
]
PAGE = """<!doctype html>
<link rel="icon" href="data:," />
<script type="importmap">
  {"imports": {"@litertjs/core": "./litert/core/index.js",
               "@litertjs/wasm-utils": "./litert/wasm-utils/index.js"}}
</script>
<script type="module">
  import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
  const adapter = await navigator.gpu?.requestAdapter();
  // Without jspi, an op that the GPU refuses would be an error of the whole file.
  if (adapter) await loadLiteRt("litert/wasm/", { jspi: true });
  window.run = async (file, shape, text) => {
    const model = await loadAndCompile(file, { accelerator: "webgpu" });
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const input = new Tensor(new Float32Array(bytes.buffer), shape);
    const [output] = Object.values(await model.run([input]));
    const values = Array.from(await output.data());
    model.delete();
    return values;
  };
  window.hasGpu = Boolean(adapter);
</script>
"""

Run = Callable[[Path, np.ndarray], np.ndarray]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""


@contextlib.contextmanager
def open_webgpu(playwright: Any, folder: Path) -> Iterator[Run | None]:
    """Give a function from a file and its input to its output; None without a GPU.

    Args:
        playwright: what drives the browser.
        folder: an empty one, for the page.
    """
    try:
        write_runtime(folder / "litert")
    except RuntimeError:  # no registry
        yield None
        return
    (folder / "index.html").write_text(PAGE)
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"http://127.0.0.1:{server.server_port}/")
    page.wait_for_function("window.hasGpu !== undefined")

    def run(path: Path, images: np.ndarray) -> np.ndarray:
        name = f"{len([*folder.iterdir()])}.tflite"
        shutil.copy(path, folder / name)
        text = base64.b64encode(images.astype("float32").tobytes()).decode()
        call = "([file, shape, text]) => window.run(file, shape, text)"
        return np.array(page.evaluate(call, [name, [*images.shape], text]))

    yield run if page.evaluate("window.hasGpu") else None
    browser.close()
    server.shutdown()
    server.server_close()
