"""Make keras_vit/checkpoints/timm/models.json from the configurations of timm.

Source: the table that was read from timm's registry, one entry per architecture with
its constructor arguments and pretrained configurations; timm itself says which tag is
the default, which comes first. The accuracies are those that timm publishes:
results/results-imagenet.csv of huggingface/pytorch-image-models (Apache-2.0), here of
commit aa4b5850c154.

Command: python benchmarks/make_timm_table.py PATH/timm_vit_configs.json \
    PATH/results-imagenet.csv
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

OUTPUT = Path(__file__).parent.parent / "keras_vit/checkpoints/timm/models.json"
KEYS = ("tag", "num_classes", "input_size", "mean", "std", "interp", "crop_pct")
KEYS += ("crop_mode", "hub", "license")


def main() -> None:
    """Write the table, one architecture per line."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.peers import import_timm

    default = import_timm().models.get_pretrained_cfg
    table = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with Path(sys.argv[2]).open(encoding="utf-8") as file:
        top1 = {row["model"]: float(row["top1"]) for row in csv.DictReader(file)}
    rows = []
    for name, entry in sorted(table.items()):
        first = getattr(default(name), "tag", None)
        entry["pretrained"].sort(key=lambda config: config["tag"] != first)
        row = {
            "cls": entry["cls"],
            "family": entry["family"],
            "args": {"img_size": entry["image_sizes"][0], **entry["timm_args"]},
            "pretrained": [
                {key: config[key] for key in KEYS if key in config}
                | _accuracy(top1, f"{name}.{config['tag']}")
                for config in entry["pretrained"]
            ],
        }
        rows.append(f"{json.dumps(name)}:{json.dumps(row, separators=(',', ':'))}")
    OUTPUT.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    print(f"{len(rows)} architectures, {OUTPUT.stat().st_size:,} bytes")


def _accuracy(top1: dict[str, float], name: str) -> dict[str, float]:
    return {"top1": top1[name]} if name in top1 else {}


if __name__ == "__main__":
    main()
