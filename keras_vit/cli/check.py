"""The command that looks for what is wrong with a data set."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable

from keras_vit.checkpoints.hub import find_source
from keras_vit.cli.arguments import Commands, add_command, add_switches, print_found
from keras_vit.inspecting.check import check_data
from keras_vit.inspecting.page import check_page, write_page


def add_check(commands: Commands) -> None:
    """Add `keras-vit check` to the commands."""
    parser = add_command(
        commands,
        run_check,
        "check",
        "look for broken, equal, blurred and wrongly labelled pictures",
        "photos/ --output report.html",
    )
    parser.add_argument("data", metavar="DATA", help="digits, or a folder of images")
    parser.add_argument("--output", metavar="FILE.html", help="a page with pictures")
    parser.add_argument(
        "--weights",
        metavar="SOURCE",
        help="model whose features say which labels are likely wrong: a .keras file, "
        "an output folder of train, a timm name, a hub id, a folder or a file",
    )
    parser.add_argument(
        "--image-size",
        type=int,
        metavar="N",
        help="pixels that the model takes; default: its own",
    )
    about = "pictures may have several labels, which together are a class"
    add_switches(
        parser,
        quick="do not look for near duplicates",
        multi_label=about,
        overwrite="replace the page that is at the output",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the folds; default 0")


def run_check(options: Namespace) -> None:
    """Check the data, and write the page."""
    if options.output:
        check_page(options.output, options.overwrite)
    changes = {} if options.image_size is None else {"image_size": options.image_size}
    found = check_data(
        options.data,
        model=options.weights and find_source(options.weights),
        near_duplicates=not options.quick,
        seed=options.seed,
        progress=_progress() if sys.stderr.isatty() and not options.json else None,
        model_options=changes,
        **({"multi_label": True} if options.multi_label else {}),
    )
    lines = [found.text()]
    if options.output:
        lines.append(
            f"\n{write_page(found, options.output, overwrite=options.overwrite)}"
        )
    print_found(options, found.as_json(), *lines)


def _progress() -> Callable[[str, int, int], None]:
    """Return a function that keeps one line of the terminal up to date."""

    def tell(what: str, done: int, total: int) -> None:
        end = "\r\033[K" if done >= total else "\r"
        print(f"\r{what} {done:,} of {total:,}", end=end, file=sys.stderr, flush=True)

    return tell
