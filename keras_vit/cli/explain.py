"""The command that draws heat maps over pictures."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import get_args

from keras_vit.checkpoints.hub import find_source
from keras_vit.cli.arguments import Commands, add_command, add_switches, print_found
from keras_vit.explaining.explain import explain
from keras_vit.explaining.explanation import Explanation
from keras_vit.explaining.methods import MethodName
from keras_vit.explaining.page import write_maps
from keras_vit.files import check_replaceable, check_writable, replacing
from keras_vit.pages.document import check_page


def add_explain(commands: Commands) -> None:
    """Add `keras-vit explain` to the commands."""
    parser = add_command(
        commands,
        run_explain,
        "explain",
        "draw over pictures what a model looks at",
        "saved_models/photos cat.jpg --output maps",
    )
    about = "a .keras file, an output folder of train, a timm name, a hub id or a file"
    parser.add_argument("model", metavar="MODEL", help=about)
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image file")
    about = "folder for a .png of each picture, or a page: FILE.html"
    parser.add_argument("--output", metavar="FOLDER", required=True, help=about)
    parser.add_argument(
        "--method",
        choices=get_args(MethodName),
        help="default: relevance of a class; rollout of a ViT without classes or with "
        "an attention pooling; occlusion of other models",
    )
    about = "class of relevance, grad_cam and occlusion, name or number; default: the "
    parser.add_argument("--target", metavar="CLASS", help=about + "likeliest")
    about = "of methods that look at one block: its number; default -1, the last"
    parser.add_argument("--block", type=int, default=-1, metavar="N", help=about)
    about = "of attention: number of the head; default: the mean of all"
    parser.add_argument("--head", type=int, metavar="N", help=about)
    about = "of occlusion: side of what is hidden, in patches; default 2"
    parser.add_argument("--window", type=int, default=2, metavar="N", help=about)
    about = "of similarity: pixels from the left and from the top of each picture"
    parser.add_argument("--point", nargs=2, type=float, metavar=("X", "Y"), help=about)
    about = "of similarity: image file in which the point is; default: each one"
    parser.add_argument("--of", metavar="IMAGE", help=about)
    add_switches(
        parser,
        joint="of components: the same colours mean the same in all pictures",
        foreground="of components: leave out the ground",
        overwrite="replace what is at the output",
    )


def run_explain(options: Namespace) -> None:
    """Draw the maps, and write all of them or none."""
    folder = Path(options.output).expanduser()
    for name in options.images:
        if Path(name).expanduser().is_dir():
            raise ValueError(
                f"Pictures are given as files, received the folder {name!r}. Name the "
                f"files, for example {name.rstrip('/')}/*"
            )
    images = [Path(image) for image in dict.fromkeys(options.images)]
    names = map_names(images, options.method)
    is_page = folder.suffix.lower() in (".html", ".htm")
    if is_page:
        check_page(folder, options.overwrite)
    else:
        check_folder(folder, names, options.overwrite)
    found = explain(
        find_source(options.model),
        images,
        method=options.method,
        target=options.target,
        window=options.window,
        block=options.block,
        head=options.head,
        point=tuple(options.point) if options.point else None,
        of=Path(options.of) if options.of else None,
        joint=options.joint,
        foreground=options.foreground,
    )
    if is_page:
        shown = ["/".join(image.parts[-2:]) for image in images]
        model = Path(options.model).name or options.model
        write_maps(found, shown, folder, model=model, overwrite=options.overwrite)
    else:
        write_folder(folder, names, found)
    rows = {
        str(image): {"map": str(folder if is_page else folder / name), **_facts(one)}
        for image, name, one in zip(images, names, found, strict=True)
    }
    lines = [f"{row['map']}: {row['text']}" for row in rows.values()]
    print_found(options, rows, *lines)


def check_folder(folder: Path, names: list[str], overwrite: bool) -> None:
    """Refuse a folder for maps that cannot be written or must not be replaced."""
    if folder.exists():
        if not overwrite:
            raise FileExistsError(
                f"{str(folder)!r} exists. Choose another folder, or replace it with "
                "--overwrite."
            )
        kinds = ("map", *get_args(MethodName))
        former = [path.name for one in kinds for path in folder.glob(f"*.{one}.png")]
        check_replaceable(folder, [*names, *former])
    check_writable(folder.parent)


def write_folder(folder: Path, names: list[str], found: list[Explanation]) -> None:
    """Write all maps, or none."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        for name, explanation in zip(names, found, strict=True):
            explanation.save(temporary / name)


def _facts(found: Explanation) -> dict[str, object]:
    return {
        "class_name": found.class_name,
        "probability": found.probability,
        "text": found.alt_text,
    }


def map_names(images: list[Path], method: str | None) -> list[str]:
    """Return a file name for each picture, all different, also in other cases."""
    method = method or "map"
    names: list[str] = []
    taken: set[str] = set()
    for image in images:
        name, count = f"{image.stem}.{method}.png", 2
        while name.lower() in taken:
            name, count = f"{image.stem}_{count}.{method}.png", count + 1
        taken.add(name.lower())
        names.append(name)
    return names
