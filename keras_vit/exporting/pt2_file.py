"""A `.keras` file becomes a `.pt2` file, under torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_vit.exporting.conversion import ConversionJob
from keras_vit.exporting.served_function import inference, load_model, named_outputs

# Tracing takes a size of 1 for one that never changes.
_EXAMPLES = 2


def convert(job: ConversionJob) -> None:
    """Write the file `job.target`."""
    import torch

    model = load_model(job)
    serve = named_outputs(job, inference(model))

    class Served(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model  # Owns the weights.

        def forward(self, images: Any) -> dict[str, Any]:
            return serve(images)

    batch, *sizes = job.input["shape"]
    example = np.zeros((batch or _EXAMPLES, *sizes), job.input["dtype"])
    sides = {0: torch.export.Dim("batch")} if batch is None else None
    with torch.no_grad():
        program = torch.export.export(
            Served().eval(),
            (torch.as_tensor(example),),
            dynamic_shapes={job.input["name"]: sides},
        )
    torch.export.save(program, job.target)
