"""LiteRT for browsers: JavaScript and wasm, from the npm registry."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

# package.json and package-lock.json (versions with checksums), and the licence, which
# the packages name but do not hold.
LOCK_FOLDER = Path(__file__).with_name("npm")
LICENSE_FILE = "LICENSE"
TIMEOUT = 600  # seconds
VARIANTS = ("internal", "compat_internal", "jspi_internal", "threaded_internal")
# From the folder of a package to the folder of the page. A browser loads one variant,
# and a second one if WebGPU (jspi) is not what runs the model in the end.
FILES = {
    "core/dist/index.js": "core/index.js",
    "core/package.json": "core/package.json",
    "wasm-utils/dist/index.js": "wasm-utils/index.js",
    "wasm-utils/package.json": "wasm-utils/package.json",
    **{
        f"core/wasm/{name}": f"wasm/{name}"
        for variant in VARIANTS
        for name in (f"litert_wasm_{variant}.js", f"litert_wasm_{variant}.wasm")
    },
}


def write_runtime(folder: Path) -> None:
    """Write what the page needs of `@litertjs` to a new folder.

    npm fetches the pinned versions, or takes them from its cache, and compares their
    checksums; it runs none of their scripts.

    Raises:
        FileNotFoundError: if npm is not installed.
        RuntimeError: if npm fails; the message holds its last lines.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(LOCK_FOLDER / name, scratch)
        _install(Path(scratch))
        for source, target in FILES.items():
            path = folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(scratch) / "node_modules/@litertjs" / source, path)
    shutil.copyfile(LOCK_FOLDER / LICENSE_FILE, folder / LICENSE_FILE)


def _install(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError(
            "npm is needed to fetch LiteRT for browsers, and was not found. Install "
            "Node.js (https://nodejs.org, or apt-get install npm) and try again."
        )
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    command = [npm, "ci", *options, "--loglevel=error"]
    try:
        result = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(
            f"npm must fetch LiteRT for browsers, and had not after {TIMEOUT} seconds. "
            "Nothing was written; check the connection and try again."
        ) from None
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        raise RuntimeError(
            "npm must fetch LiteRT for browsers, and failed. Nothing was written; "
            "check the connection and try again. Its last lines:\n  "
            + "\n  ".join(lines[-6:])
        )
