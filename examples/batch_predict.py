"""Predict a folder or a list of any length to a CSV file; a stopped run goes on.

`keras_vit.predict_to_file` does it all: it holds one batch in memory at a time, writes
whole rows to OUTPUT.partial, and says in the column `error` why a picture cannot be
read. Start the same command again after a stop, a crash or a power cut: rows that are
there stay, and only the missing pictures are predicted. A few rows are predicted once
more, to make sure that they are of the same model. OUTPUT appears when it is complete.

Command: python examples/batch_predict.py saved_models/photos new_photos/ found.csv
    The same without Python: keras-vit predict saved_models/photos new_photos/ \
        --output found.csv
Expected: as fast as the model; docs/data.md says what else than a folder it takes.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path

import keras_vit

EXAMPLES = Path(__file__).parent


def counts(path: str | Path) -> Counter[str]:
    """Return how often each class stands in a file, reading it row by row.

    Of a model for several labels per picture it is how often each set of labels does.
    """
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        kind = (
            "labels" if rows.fieldnames and rows.fieldnames[1] == "labels" else "class"
        )
        return Counter("cannot be read" if row["error"] else row[kind] for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    digits = EXAMPLES.parent / "saved_models" / "digits"
    parser.add_argument("model", nargs="?", default=digits, help="folder or file")
    parser.add_argument("source", nargs="?", default=EXAMPLES / "images")
    parser.add_argument("output", nargs="?", default="predictions.csv")
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args()
    done = keras_vit.predict_to_file(
        options.model, options.source, options.output, batch_size=options.batch_size
    )
    print(done.text())
    for name, count in counts(options.output).most_common():
        print(f"{count:>8} {name}")


if __name__ == "__main__":
    main()
