"""Parameters at full size of each of timm's plain ViTs: n of 244 equal timm's.

timm builds on torch's meta device, ours without values (`keras_internals.unallocated`),
so that models of billions of weights need no memory.

Command: KERAS_BACKEND=jax python benchmarks/parameter_counts.py [--only WILDCARD]
Takes about 5 minutes on two cores. Target: 244 of 244 equal.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="*", help="wildcard of names")
    options = parser.parse_args()
    import keras
    import torch

    from keras_vit import ViT
    from keras_vit.checkpoints.timm.config import config_from_timm, timm_table
    from keras_vit.keras_internals import unallocated
    from tests.peers import import_timm

    timm = import_timm()
    names = [name for name in timm_table() if fnmatch(name, options.only)]
    equal, largest = 0, 0
    for name in names:
        with torch.device("meta"):
            theirs = timm.create_model(name, pretrained=False)
        expected = sum(parameter.numel() for parameter in theirs.parameters())
        config = config_from_timm(name, num_classes=theirs.num_classes)
        with unallocated():
            found = ViT(**asdict(config)).count_params()
        keras.backend.clear_session()
        if found == expected == config.num_parameters:
            equal += 1
            largest = max(largest, found)
        else:
            print(f"{name}: {found}, config {config.num_parameters}, timm {expected}")
    print(f"{equal} of {len(names)} equal; the largest has {largest:,} parameters")


if __name__ == "__main__":
    main()
