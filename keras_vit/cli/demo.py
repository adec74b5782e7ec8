"""The command that writes a page."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from keras_vit.data.folder import image_files
from keras_vit.export.quantizations import QUANTIZATIONS
from keras_vit.web.demo import write_demo

Add = Callable[..., argparse.ArgumentParser]


def add_demo(commands: argparse._SubParsersAction, add: Add) -> None:
    """Add `keras-vit demo` to the commands."""
    parser = add(
        commands,
        "demo",
        "write a page that runs a model in the browser",
        "demo saved_models/photos --output site/ --attention",
    )
    parser.set_defaults(run=run_demo)
    parser.add_argument(
        "model", metavar="MODEL", help=".keras or .tflite file, or folder of train"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="new folder")
    parser.add_argument("--title", metavar="TEXT", help="default: name of the model")
    parser.add_argument(
        "--quantization",
        metavar="NAME",
        help=f"one of {', '.join(QUANTIZATIONS)}; default float32",
    )
    parser.add_argument(
        "--calibration",
        nargs="+",
        metavar="IMAGE",
        help="pictures or folders that show which values occur",
    )
    parser.add_argument(
        "--attention", action="store_true", help="show where the model looked"
    )
    parser.add_argument(
        "--images", nargs="+", metavar="IMAGE", help="to verify on; default: digits"
    )
    parser.add_argument("--force", action="store_true", help="replace a former page")


def run_demo(options: argparse.Namespace) -> None:
    """Write the page and say how to open it."""
    folder = write_demo(
        options.model,
        options.output,
        title=options.title,
        quantization=options.quantization,
        calibration=options.calibration and image_files(options.calibration),
        attention=options.attention,
        images=options.images and image_files(options.images),
        overwrite=options.force,
    )
    num_bytes = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    if options.json:
        print(json.dumps({"path": str(folder), "bytes": num_bytes}, indent=1))
        return
    print(f"{folder}: {num_bytes:,} bytes")
    print(f"  open http://localhost:8000 after python3 -m http.server -d {folder}")
