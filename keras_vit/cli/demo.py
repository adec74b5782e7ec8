"""The command that writes a page."""

from __future__ import annotations

from argparse import BooleanOptionalAction, Namespace

from keras_vit.cli.arguments import Commands, add_command, add_file_options, print_found
from keras_vit.data.sources.picture_files import image_files
from keras_vit.web.demo import write_demo


def add_demo(commands: Commands) -> None:
    """Add `keras-vit demo` to the commands."""
    parser = add_command(
        commands,
        run_demo,
        "demo",
        "write a page that runs a model in the browser",
        "saved_models/photos --output site/",
    )
    parser.add_argument(
        "model", metavar="MODEL", help=".keras or .tflite file, or folder of train"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="new folder")
    parser.add_argument("--title", metavar="TEXT", help="default: name of the model")
    about = "up to six pictures that become a part of the page, to try it with"
    parser.add_argument("--examples", nargs="+", metavar="IMAGE", help=about)
    add_file_options(parser)
    about = "whether it shows where the model looked; default: if the model has a map"
    parser.add_argument("--attention", action=BooleanOptionalAction, help=about)


def run_demo(options: Namespace) -> None:
    """Write the page and say how to open it."""
    folder = write_demo(
        options.model,
        options.output,
        title=options.title,
        quantization=options.quantization,
        calibration=options.calibration and image_files(options.calibration),
        attention=options.attention,
        images=options.images and image_files(options.images),
        examples=image_files(options.examples) if options.examples else (),
        overwrite=options.overwrite,
    )
    num_bytes = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    print_found(
        options,
        {"path": str(folder), "bytes": num_bytes},
        f"{folder}: {num_bytes:,} bytes",
        f"  open http://localhost:8000 after python3 -m http.server -d {folder}",
    )
