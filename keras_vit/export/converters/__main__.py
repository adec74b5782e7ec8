"""Convert a `.keras` file; runs in a child process of `export`.

Usage: KERAS_BACKEND=... python -m keras_vit.export.converters JOB.json
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    importlib.import_module(f"keras_vit.export.converters.{job['converter']}").convert(
        job
    )
