"""What has to happen before Keras is imported, where this process is `keras-vit`."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from keras_vit.quiet_start import quiet_libraries

BACKENDS = ("tensorflow", "jax", "torch")
EXIT_MISTAKE = 2


def prepare_command() -> None:
    """Choose a backend that is there, and keep the libraries' start-up to themselves.

    Does nothing where `keras_vit` is imported by another program: what that wants is
    its own affair.
    """
    if not _is_command():
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # No notes; warnings stay.
    quiet_libraries()
    _choose_backend()


def _is_command() -> bool:
    """Return whether this process is `keras-vit` or `python -m keras_vit`."""
    if Path(sys.argv[0]).stem == "keras-vit":
        return True
    # While Python looks for the module of -m, argv[0] is that option.
    words = sys.orig_argv
    modules = [b for a, b in zip(words, words[1:], strict=False) if a == "-m"]
    return bool(modules) and modules[0].split(".")[0] == "keras_vit"


def _choose_backend() -> None:
    installed = [name for name in BACKENDS if find_spec(name) is not None]
    if not installed:
        _stop(
            f"Keras needs one of {', '.join(BACKENDS)}, received none of them. Install "
            "one: pip install 'keras3-vit[tensorflow]' (or [jax], or [torch])."
        )
    named = os.environ.get("KERAS_BACKEND")
    if not named:
        if _configured() not in installed:
            os.environ["KERAS_BACKEND"] = installed[0]
            print(
                f"keras-vit: on {installed[0]}, as KERAS_BACKEND is not set and "
                f"{_configured()} is not installed",
                file=sys.stderr,
            )
    elif named not in BACKENDS:
        _stop(
            f"KERAS_BACKEND must be one of {', '.join(BACKENDS)}, received {named!r}. "
            f"Set KERAS_BACKEND={installed[0]}, which is installed."
        )
    elif named not in installed:
        _stop(
            f"KERAS_BACKEND is {named!r}, which is not installed. Set KERAS_BACKEND="
            f"{installed[0]}, or install it: pip install 'keras3-vit[{named}]'."
        )


def _configured() -> str:
    """Return the backend of Keras's own file, which Keras writes by itself, too."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    try:
        text = (Path(home) / "keras.json").read_text(encoding="utf-8")
        return str(json.loads(text)["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return BACKENDS[0]


def _stop(message: str) -> NoReturn:
    print(f"keras-vit: error: {message}", file=sys.stderr)
    raise SystemExit(EXIT_MISTAKE)
