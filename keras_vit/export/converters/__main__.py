"""Convert a `.keras` file; runs in a child process of `export`.

Usage: KERAS_BACKEND=... python -m keras_vit.export.converters JOB.json
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any


def end_with_parent(job: dict[str, Any]) -> None:
    """End as soon as the process that wants the file is gone, and remove what is there.

    It removes all that itself if it can; SIGKILL and a SIGTERM that it does not expect
    leave it no time. Windows does not tell: there the child ends by itself.
    """
    while os.getppid() == job["parent"]:
        time.sleep(0.5)
    remove(job)
    os._exit(1)


def remove(job: dict[str, Any]) -> None:
    """Remove scratch folder and target, and the folder made for it."""
    target = Path(job["target"])
    shutil.rmtree(job["scratch"], ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    with suppress(OSError):
        target.unlink()
    with suppress(OSError):  # If anything else is in it, it stays.
        target.parent.rmdir()


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    threading.Thread(target=end_with_parent, args=(job,), daemon=True).start()
    module = importlib.import_module(f"keras_vit.export.converters.{job['converter']}")
    try:
        module.convert(job)
    finally:
        # Also after an error: with this thread ends the one that removes.
        if os.getppid() != job["parent"]:
            remove(job)
