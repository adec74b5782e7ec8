"""Convert a `.keras` file; runs in a child process of `export`.

Usage: KERAS_BACKEND=... python -m keras_vit.exporting.convert_in_child JOB.json
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

from keras_vit.exporting.conversion import RESULT_FILE, ConversionJob, read_job


def convert_job(job: ConversionJob) -> None:
    """Write the file that is wanted, and what its converter decided."""
    module = importlib.import_module(f"keras_vit.exporting.{job.converter}")
    decided = module.convert(job) or {}
    result = job.scratch / RESULT_FILE
    result.write_text(json.dumps(decided), encoding="utf-8")


def end_with_parent(job: ConversionJob) -> None:
    """End as soon as the process that wants the file is gone, and remove what is there.

    It removes all that itself if it can; SIGKILL and a SIGTERM that it does not expect
    leave it no time. Windows does not tell: there the child ends by itself.
    """
    while os.getppid() == job.parent:
        time.sleep(0.5)
    remove(job)
    os._exit(1)


def remove(job: ConversionJob) -> None:
    """Remove scratch folder and target, and the folder made for it."""
    shutil.rmtree(job.scratch, ignore_errors=True)
    shutil.rmtree(job.target, ignore_errors=True)
    with suppress(OSError):
        job.target.unlink()
    with suppress(OSError):  # If anything else is in it, it stays.
        job.target.parent.rmdir()


if __name__ == "__main__":
    wanted = read_job(sys.argv[1])
    threading.Thread(target=end_with_parent, args=(wanted,), daemon=True).start()
    try:
        convert_job(wanted)
    finally:
        # Also after an error: with this thread ends the one that removes.
        if os.getppid() != wanted.parent:
            remove(wanted)
