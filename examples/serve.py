"""Serve an exported model: uploads of pictures, and the requests of TensorFlow Serving.

The server needs FastAPI, ONNX Runtime, NumPy and Pillow, and neither Keras nor this
package. It answers at three addresses:

    POST /predict                       pictures, as a web form uploads them
    POST /v1/models/NAME:predict        {"instances": [{"b64": "..."}, ...]}, or pixels
    GET  /v1/models/NAME                whether the model is there

The last two are those of TensorFlow Serving's REST API
(https://www.tensorflow.org/tfx/serving/api_rest), so its clients need no change.

Install: pip install 'keras3-vit[serve]'
Command: keras-vit export MODEL --format onnx --batch dynamic --input pixels \
        --input-size any --output photos.onnx
    python examples/serve.py photos.onnx --port 8501
    curl -F files=@cat.jpg http://localhost:8501/predict
docs/server.md has more requests, and what to think of before others use it.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI, HTTPException, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from PIL import Image, ImageOps
from starlette.exceptions import HTTPException as AnyHTTPException

LARGEST_REQUEST = 20_000_000  # bytes
LARGEST_PICTURE = 50_000_000  # pixels: a small file may hold very many
MOST_PICTURES = 64  # of one request
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


class Classifier:
    """An ONNX file of `keras_vit.export(..., input="pixels", input_size="any")`."""

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads  # 0: one per core
        self.session = onnxruntime.InferenceSession(str(path), options)
        [self.input, *_] = self.session.get_inputs()
        sizes = self.input.shape  # (batch, height, width, channels)
        if self.input.type != "tensor(uint8)" or isinstance(sizes[1], int):
            raise ValueError(
                "A server needs a file that takes pictures of any size, received one "
                f"with an input of type {self.input.type} and shape {sizes}. Export it "
                'with input="pixels" and input_size="any".'
            )
        self.mode = {1: "L", 3: "RGB"}[sizes[3]]
        texts = self.session.get_modelmeta().custom_metadata_map
        facts = json.loads(texts["keras_vit.json"])
        self.output: dict[str, Any] = facts["output"]
        if self.output["name"] != "probabilities":
            raise ValueError(
                "A server needs a file that gives probabilities, received one that "
                f"gives {self.output['name']}. Export a model with classes."
            )
        self.names: list[str] = facts["class_names"]
        self.on_white = facts["preprocessing"].get("transparency") == "white"

    def read(self, data: bytes) -> np.ndarray:
        """Return the pixels of a file, upright, (H, W, channels)."""
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                if picture.width * picture.height > LARGEST_PICTURE:
                    size = f"{picture.width} x {picture.height} pixels"
                    raise HTTPException(413, f"a picture of {size} is too large")
                picture = ImageOps.exif_transpose(picture)
                if self.on_white and picture.has_transparency_data:
                    picture = picture.convert("RGBA")
                    white = Image.new("RGBA", picture.size, "white")
                    picture = Image.alpha_composite(white, picture)
                if picture.mode.startswith("I"):  # Sixteen bits, which Pillow clips.
                    wide = np.clip(np.asarray(picture), 0, 65535) // 257
                    picture = Image.fromarray(wide.astype("uint8"))
                pixels = np.asarray(picture.convert(self.mode))
        except HTTPException:
            raise
        except Image.DecompressionBombError as error:
            raise HTTPException(413, "a picture is too large") from error
        except Exception as error:  # Pillow raises many types for bad bytes.
            said = str(error).partition(" <")[0]  # None of Python's addresses.
            raise HTTPException(400, f"no picture that can be read: {said}") from error
        return pixels.reshape(*pixels.shape[:2], -1)

    def instance(self, given: Any) -> np.ndarray:
        """Return the pixels of one instance: a file in base64, or numbers."""
        if isinstance(given, dict) and set(given) == {"image_bytes"}:
            given = given["image_bytes"]
        if isinstance(given, dict) and isinstance(given.get("b64"), str):
            try:
                return self.read(base64.b64decode(given["b64"], validate=True))
            except ValueError as error:
                raise HTTPException(400, f"b64 is no base64: {error}") from error
        try:
            pixels = np.asarray(given, "float64")
        except (OverflowError, TypeError, ValueError):
            pixels = np.zeros(())
        inside = pixels.ndim == 3 and pixels.size and (0 <= pixels).all()
        if not inside or pixels.shape[2] != self.input.shape[3] or pixels.max() > 255:
            raise HTTPException(
                400,
                'an instance is {"b64": "..."}, a picture file in base64, or pixels '
                f"from 0 to 255, (height, width, {self.input.shape[3]})",
            )
        return np.rint(pixels).astype("uint8")

    def __call__(self, pixels: np.ndarray) -> dict[str, Any]:
        feed = {self.input.name: pixels[np.newaxis]}
        [values] = self.session.run(["probabilities"], feed)[0]
        return {"probabilities": values.tolist(), **self.named(values)}

    def named(self, values: np.ndarray) -> dict[str, Any]:
        """Return the name of the best class, or the names of all that are there."""
        if not self.names:
            return {}
        if (len(values), len(self.names)) == (1, 2):  # no, yes
            is_yes = values[0] >= self.output["threshold"]
            return {"class_name": self.names[int(is_yes)]}
        limits = self.output.get("thresholds")  # A picture may have several classes.
        if limits is None and len(values) > 1:
            return {"class_name": self.names[int(np.argmax(values))]}
        limits = limits or [0.5]  # Yes alone has a name.
        each = zip(self.names, values, limits, strict=True)
        return {"class_names": [name for name, value, least in each if value >= least]}


def make_app(classifier: Classifier, name: str) -> FastAPI:
    """Return the application that serves one model under a name."""
    app = FastAPI(title=name)

    @app.exception_handler(AnyHTTPException)
    async def refuse(_: Request, error: AnyHTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code)

    @app.exception_handler(RequestValidationError)
    async def refuse_form(_: Request, error: RequestValidationError) -> JSONResponse:
        reasons = "; ".join(one["msg"] for one in error.errors())
        return JSONResponse({"error": f"send pictures as `files`: {reasons}"}, 400)

    @app.middleware("http")
    async def limit_size(request: Request, follow: Any) -> Any:
        length = request.headers.get("content-length")
        if length is not None and not (length.isascii() and length.isdigit()):
            return JSONResponse({"error": "Content-Length is a number"}, 400)
        if request.method == "POST" and length is None:
            return JSONResponse({"error": "a request says its Content-Length"}, 411)
        if int(length or 0) > LARGEST_REQUEST:
            message = f"a request has {LARGEST_REQUEST} bytes at most"
            return JSONResponse({"error": f"{message}, received {length}"}, 413)
        return await follow(request)

    def answers(read: Any, given: list[Any]) -> dict[str, Any]:
        if not 0 < len(given) <= MOST_PICTURES:
            message = f"a request has 1 to {MOST_PICTURES} pictures"
            raise HTTPException(400, f"{message}, received {len(given)}")
        return {"predictions": [classifier(read(one)) for one in given]}

    def check_name(asked: str) -> None:
        if asked != name:
            raise HTTPException(404, f"no model {asked!r} here, but {name!r}")

    @app.post("/predict")
    def predict_files(files: list[UploadFile]) -> Any:
        return answers(lambda file: classifier.read(file.file.read()), files)

    @app.post("/v1/models/{asked}:predict")
    async def predict(asked: str, request: Request) -> Any:
        check_name(asked)
        # Not by FastAPI: clients of TensorFlow Serving do not say that it is JSON.
        try:
            instances = json.loads(await request.body())["instances"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            text = 'a request is JSON, {"instances": [...]}'
            raise HTTPException(400, f"{text}: {error!r}") from error
        if not isinstance(instances, list):
            raise HTTPException(400, "instances is a list, one instance per picture")
        return await run_in_threadpool(answers, classifier.instance, instances)

    @app.get("/v1/models/{asked}")
    def status(asked: str) -> Any:
        check_name(asked)
        ready = {"error_code": "OK", "error_message": ""}
        version = {"version": "1", "state": "AVAILABLE", "status": ready}
        return {"model_version_status": [version]}

    return app


def main() -> None:
    import uvicorn

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a .onnx file")
    parser.add_argument("--name", help="in the addresses; default: that of the file")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for the network")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--threads", type=int, default=0, help="0: one per core")
    options = parser.parse_args()
    classifier = Classifier(options.model, options.threads)
    app = make_app(classifier, options.name or options.model.stem)
    uvicorn.run(app, host=options.host, port=options.port)


if __name__ == "__main__":
    main()
