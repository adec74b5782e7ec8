"""Build sdist and wheel into dist/, twice, and fail unless they are equal.

make wheel
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LARGEST = 2_000_000  # bytes of the wheel


def main() -> None:
    """Build, compare, and put what was built into dist/."""
    time = subprocess.run(
        ["git", "log", "-1", "--format=%ct"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    env = {**os.environ, "SOURCE_DATE_EPOCH": time.stdout.strip()}
    with tempfile.TemporaryDirectory() as top:
        built = [_build(Path(top) / name, env) for name in ("first", "second")]
        if _hashes(built[0]) != _hashes(built[1]):
            sys.exit(f"Two builds differ: {_hashes(built[0])}, {_hashes(built[1])}.")
        for path in built[0].iterdir():
            if path.suffix == ".whl" and path.stat().st_size > LARGEST:
                sys.exit(f"{path.name} has more than {LARGEST:,} bytes.")
        shutil.rmtree(ROOT / "dist", ignore_errors=True)
        shutil.copytree(built[0], ROOT / "dist")
    for path in sorted((ROOT / "dist").iterdir()):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{path.name}: {path.stat().st_size:,} bytes, sha256 {digest}")


def _build(folder: Path, env: dict[str, str]) -> Path:
    """Build from a copy of what git knows, so that nothing else slips in."""
    source, output = folder / "source", folder / "dist"
    source.mkdir(parents=True)
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    for name in names.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
            os.utime(source / name, (int(env["SOURCE_DATE_EPOCH"]),) * 2)
            # Git knows no more of a mode than whether a file can be run.
            (source / name).chmod(0o755 if os.access(ROOT / name, os.X_OK) else 0o644)
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(output), str(source)],
        env=env,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    for path in output.glob("*.tar.gz"):
        _set_times(path, int(env["SOURCE_DATE_EPOCH"]))
    return output


def _set_times(path: Path, seconds: int) -> None:
    """Write an archive anew with one time for all in it: setuptools takes the clock."""
    with tarfile.open(path) as archive:
        members = sorted(archive.getmembers(), key=lambda member: member.name)
        contents = [archive.extractfile(one) for one in members]
        data = [None if file is None else file.read() for file in contents]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in zip(members, data, strict=True):
            member.mtime, member.pax_headers = seconds, {}
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            archive.addfile(member, None if content is None else io.BytesIO(content))
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=seconds))


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


if __name__ == "__main__":
    main()
