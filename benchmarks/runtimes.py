"""LiteRT and ONNX files on the runtimes that people have: precision x runtime.

Exports the digits model of saved_models/ in each precision, runs each file with each
runtime on the 599 images that the model was not trained on, and prints the accuracies.
Old runtimes live in environments of their own, which are built once and kept in the
folder; they need a Python that they were made for, and onnxruntime-node needs npm.

Command: KERAS_BACKEND=jax python benchmarks/runtimes.py --folder FOLDER
    [--python python3.11] [--format litert|onnx]
Takes about ten minutes the first time and three afterwards. Targets: each accuracy
within half a point of float32, or an error that says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_vit
from keras_vit.exporting.quantizations import QUANTIZATIONS

DIGITS = Path(__file__).parents[1] / "saved_models" / "digits" / "model.keras"
NUM_CALIBRATION = 100
# Runs in an environment without this package: files in, accuracies out.
SCRIPT = """
import json, sys
import numpy as np
module, folder, *names = sys.argv[1:]
if module == "tensorflow":
    import tensorflow as tf
    Interpreter = tf.lite.Interpreter
elif module == "tflite_runtime":
    from tflite_runtime.interpreter import Interpreter
else:
    from ai_edge_litert.interpreter import Interpreter
images, labels = (np.load(f"{folder}/{name}.npy") for name in ("images", "labels"))
found = {}
for name in names:
    try:
        interpreter = Interpreter(model_path=f"{folder}/{name}.tflite", num_threads=1)
        interpreter.allocate_tensors()
        feed = interpreter.get_input_details()[0]["index"]
        given = interpreter.get_output_details()[0]["index"]
        right = 0
        for image, label in zip(images, labels):
            interpreter.set_tensor(feed, image[None])
            interpreter.invoke()
            right += int(interpreter.get_tensor(given)[0].argmax() == label)
        found[name] = f"{right / len(labels):.4f}"
    except (RuntimeError, ValueError) as error:
        found[name] = "refused" if "version" in str(error) else str(error)[:60]
print(json.dumps(found))
"""
ONNX_SCRIPT = """
import json, sys
import numpy as np
import onnxruntime
module, folder, *names = sys.argv[1:]
images, labels = (np.load(f"{folder}/{name}.npy") for name in ("images", "labels"))
found = {}
for name in names:
    try:
        session = onnxruntime.InferenceSession(
            f"{folder}/{name}.onnx", providers=["CPUExecutionProvider"]
        )
        feed = session.get_inputs()[0].name
        rows = [session.run(None, {feed: image[None]})[0][0] for image in images]
        found[name] = f"{np.mean(np.argmax(rows, axis=1) == labels):.4f}"
    except Exception as error:
        found[name] = "refused" if "version" in str(error) else str(error)[:60]
print(json.dumps(found))
"""
NODE_SCRIPT = """
const fs = require("fs"), ort = require("onnxruntime-node");
const [folder, size, ...names] = process.argv.slice(2);
const bytes = (name) => { const b = fs.readFileSync(`${folder}/${name}.bin`);
  return b.buffer.slice(b.byteOffset, b.byteOffset + b.length); };
const images = new Float32Array(bytes("images"));
const labels = new Int32Array(bytes("labels"));
const shape = [1, ...size.split("x").map(Number)], step = shape.reduce((a, b) => a * b);
(async () => {
  const found = {};
  for (const name of names) {
    try {
      const session = await ort.InferenceSession.create(`${folder}/${name}.onnx`);
      let right = 0;
      for (let i = 0; i < labels.length; i++) {
        const pixels = images.slice(i * step, (i + 1) * step);
        const image = new ort.Tensor("float32", pixels, shape);
        const feed = { [session.inputNames[0]]: image };
        const row = Array.from((await session.run(feed))[session.outputNames[0]].data);
        right += row.indexOf(Math.max(...row)) === labels[i];
      }
      found[name] = (right / labels.length).toFixed(4);
    } catch (error) { found[name] = String(error).slice(0, 60); }
  }
  console.log(JSON.stringify(found));
})();
"""


@dataclass(frozen=True)
class Runtime:
    """A program that runs files of a format.

    Args:
        name: in the table.
        module: that holds it; "node" for one of Node.js.
        packages: for pip or npm; none: this environment.
    """

    name: str
    module: str
    packages: tuple[str, ...] = ()


RUNTIMES = (
    Runtime("tflite-runtime 2.14", "tflite_runtime", ("tflite-runtime==2.14.0",)),
    Runtime("TensorFlow 2.15", "tensorflow", ("tensorflow-cpu==2.15.1",)),
    Runtime("TensorFlow 2.16", "tensorflow", ("tensorflow-cpu==2.16.2",)),
    Runtime("TensorFlow 2.17", "tensorflow", ("tensorflow-cpu==2.17.1",)),
    Runtime("ai-edge-litert 1.0", "ai_edge_litert", ("ai-edge-litert==1.0.1",)),
    Runtime("ai-edge-litert 2", "ai_edge_litert"),
)
ONNX_RUNTIMES = (
    Runtime("onnxruntime 1.15", "onnxruntime", ("onnxruntime==1.15.1",)),
    Runtime("1.16", "onnxruntime", ("onnxruntime==1.16.3",)),
    Runtime("1.20", "onnxruntime", ("onnxruntime==1.20.1",)),
    Runtime("onnxruntime here", "onnxruntime"),
    Runtime("onnxruntime-node", "node", ("onnxruntime-node@1",)),
)
ONNX_QUANTIZATIONS = ("float32", "float16", "dynamic_int8")


def environment(runtime: Runtime, folder: Path, python: str) -> str:
    """Return the Python of a runtime; its environment is built if it is not there."""
    if not runtime.packages:
        return sys.executable
    place = folder / runtime.name.replace(" ", "_")
    binary = place / "bin" / "python"
    if not (place / "complete").is_file():
        subprocess.run([python, "-m", "venv", "--clear", str(place)], check=True)
        install = [str(binary), "-m", "pip", "install", "-q"]
        # They were made for the NumPy of their time.
        subprocess.run([*install, *runtime.packages, "numpy<2"], check=True)
        (place / "complete").touch()
    return str(binary)


def node_environment(runtime: Runtime, folder: Path) -> Path:
    """Return the folder that holds the packages of Node.js."""
    place = folder / runtime.name
    if not (place / "complete").is_file():
        place.mkdir(exist_ok=True)
        # Its install script would fetch what GPUs need.
        install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
        command = [*install, "--prefix", str(place), *runtime.packages]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (place / "complete").touch()
    return place


def run(runtime: Runtime, folder: Path, names: list[str], python: str) -> Any:
    """Return the accuracy of each file with a runtime, or why there is none."""
    if runtime.module == "node":
        place = node_environment(runtime, folder)
        script = place / "run.js"
        script.write_text(NODE_SCRIPT, encoding="utf-8")
        shape = np.load(folder / "images.npy", mmap_mode="r").shape[1:]
        command = ["node", str(script), str(folder), "x".join(map(str, shape)), *names]
    else:
        binary = environment(runtime, folder, python)
        text = ONNX_SCRIPT if runtime.module == "onnxruntime" else SCRIPT
        command = [binary, "-c", text, runtime.module, str(folder), *names]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(result.stdout.splitlines()[-1])


def write_files(folder: Path, format: str) -> list[str]:
    """Write the digits model in each precision, and the pictures to judge it on."""
    model: Any = keras.saving.load_model(DIGITS, compile=False)
    data = keras_vit.load_data("digits")
    test = data.part("test")
    shown = list(data.part("train").pictures())[:NUM_CALIBRATION]
    suffix = {"litert": ".tflite", "onnx": ".onnx"}[format]
    names = [*QUANTIZATIONS] if format == "litert" else [*ONNX_QUANTIZATIONS]
    for name in names:
        keras_vit.export(
            model,
            folder / f"{name}{suffix}",
            format=format,
            quantization=name,
            calibration=shown if QUANTIZATIONS[name].needs_calibration else None,
            images=shown[:2],
            report=False,
            overwrite=True,
        )
    images = [model.preprocessing(picture) for picture in test.pictures()]
    np.save(folder / "images.npy", np.stack(images))
    np.save(folder / "labels.npy", np.asarray(test.labels))
    np.stack(images).astype("float32").tofile(folder / "images.bin")
    np.asarray(test.labels, "int32").tofile(folder / "labels.bin")
    return names


def main() -> None:
    """Build what is missing, run each file with each runtime and print a table."""
    parser = argparse.ArgumentParser(description="Files on old runtimes.")
    parser.add_argument("--folder", type=Path, required=True, help="for environments")
    parser.add_argument("--python", default="python3.11", help="that makes them")
    parser.add_argument("--format", choices=["litert", "onnx"], default="litert")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    names = write_files(options.folder, options.format)
    runtimes = RUNTIMES if options.format == "litert" else ONNX_RUNTIMES
    found = {
        runtime.name: run(runtime, options.folder, names, options.python)
        for runtime in runtimes
    }
    print(f"| precision | {' | '.join(found)} |")
    print("|---|" + "---|" * len(found))
    for name in names:
        print(f"| {name} | {' | '.join(of[name] for of in found.values())} |")


if __name__ == "__main__":
    main()
