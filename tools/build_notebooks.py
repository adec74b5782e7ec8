"""Make the notebooks of examples/notebooks/ from their .py files, with their outputs.

    python tools/build_notebooks.py [NAME ...] [--weights FOLDER]

Each .py in jupytext's percent format is executed in a folder of its own, and becomes
the .ipynb beside it. FOLDER is DINOv2-small in Hugging Face's layout, for where no hub
can be reached: a hub on loopback serves it. Pictures in the outputs are made small.
Where only text was changed, `jupytext --to ipynb --update FILE.py` keeps the outputs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
LARGEST = 300_000  # bytes of a notebook


def main() -> None:
    """Execute what is asked for, and write it."""
    from tests.examples.notebooks import FOLDER, as_file, execute, sources

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="default: all")
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    unknown = {*options.names} - {source.stem for source in sources()}
    if unknown:
        parser.error(f"no notebook {', '.join(sorted(unknown))} in {FOLDER}.")
    for source in sources():
        if options.names and source.stem not in options.names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            ran = execute(source, Path(folder), weights=options.weights)
        text = as_file(ran.notebook)
        size = len(text.encode())
        if size > LARGEST:
            sys.exit(f"{source.stem} has {size:,} bytes, more than {LARGEST:,}.")
        (FOLDER / f"{source.stem}.ipynb").write_text(text, encoding="utf-8")
        print(f"{source.stem}: {ran.seconds:.0f} s, {size:,} bytes", flush=True)


if __name__ == "__main__":
    main()
