"""Convert a model in a child process, which leaves nothing behind.

`convert` writes a `ConversionJob` and starts `convert_in_child.py`, which hands the job
to the converter of the format.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.exporting import child_process
from keras_vit.exporting.loadable_layers import custom_objects
from keras_vit.exporting.prepared_model import PreparedModel

# Of the scratch folder.
CALIBRATION_FILE, RESULT_FILE = "calibration.npy", "result.json"


@dataclass(frozen=True, kw_only=True)
class ConversionJob:
    """What a converter has to know; it is handed over as a JSON file.

    Args:
        converter: module of `keras_vit.exporting` with a function `convert`.
        scratch: folder for what is between model and file.
        target: file or folder to write.
        parent: number of the process that wants it.
        metadata: what the file says about itself; its input and output name those of
            the file.
        is_mobile: whether the file is for the GPU of a phone.
        has_integer_ends: whether input and outputs of the file are integers.
        parts: names of the layers that a quantizer may treat in their own way.
        custom_objects: module and name of classes and functions of the user.
    """

    converter: str
    scratch: Path
    target: Path
    parent: int
    metadata: dict[str, Any]
    is_mobile: bool = False
    has_integer_ends: bool = False
    parts: tuple[str, ...] = ()
    custom_objects: tuple[tuple[str, str], ...] = ()

    @property
    def model_file(self) -> Path:
        """The `.keras` file of what is converted."""
        return self.scratch / "model.keras"

    @property
    def float_file(self) -> Path:
        """Where a converter leaves the file in float32 that it quantizes."""
        return self.scratch / f"float{self.target.suffix}"

    @property
    def input(self) -> dict[str, Any]:
        """Name, shape and type of the images."""
        return self.metadata["input"]

    @property
    def output(self) -> str:
        """Name of what the model computes."""
        return self.metadata["output"]["name"]

    @property
    def quantization(self) -> str:
        """A key of `QUANTIZATIONS`."""
        return self.metadata["quantization"]

    def calibration(self) -> np.ndarray | None:
        """Return images as the file takes them, (N, H, W, C), if there are any."""
        file = self.scratch / CALIBRATION_FILE
        return np.load(file) if file.is_file() else None

    def write(self) -> Path:
        """Write the job to the scratch folder and return the path of its file."""
        path = self.scratch / "job.json"
        path.write_text(json.dumps(asdict(self), default=str), encoding="utf-8")
        return path


def read_job(path: str | Path) -> ConversionJob:
    """Return the job that a parent process has written."""
    fields = json.loads(Path(path).read_text(encoding="utf-8"))
    for name in ("scratch", "target"):
        fields[name] = Path(fields[name])
    return ConversionJob(**fields)


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What a conversion leaves besides the file that was wanted.

    Args:
        decided: by the converter, JSON values; most decide nothing.
        float_file: in float32, that a file of another precision was made from, in the
            scratch folder; None: there is none.
    """

    decided: dict[str, Any] = field(default_factory=dict)
    float_file: Path | None = None


def convert(
    prepared: PreparedModel,
    target: Path,
    scratch: Path,
    *,
    calibration: np.ndarray | None = None,
    converter: str | None = None,
) -> Converted:
    """Write a model in another format, under the backend of that format.

    Args:
        prepared: what is converted.
        target: file or folder to write.
        scratch: folder for what is between.
        calibration: images as the file takes them, (N, H, W, C).
        converter: as in `ConversionJob`. Default: that of the format.
    """
    row = prepared.request.row
    job = ConversionJob(
        converter=converter or row.converter,
        scratch=scratch,
        target=target,
        parent=os.getpid(),
        metadata=prepared.metadata,
        is_mobile=prepared.request.is_mobile,
        has_integer_ends=prepared.request.has_integer_ends,
        parts=prepared.parts,
        custom_objects=tuple(custom_objects(prepared.model)),
    )
    prepared.model.save(job.model_file)
    if calibration is not None:
        np.save(scratch / CALIBRATION_FILE, calibration)
    command = [sys.executable, "-P", "-m", "keras_vit.exporting.convert_in_child"]
    command.append(str(job.write()))
    child_process.start(command, "The conversion", row.backend)
    return Converted(
        decided=json.loads((scratch / RESULT_FILE).read_text(encoding="utf-8")),
        float_file=job.float_file if job.float_file.is_file() else None,
    )
