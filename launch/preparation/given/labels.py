"""What a data file has in place of labels that nobody knows: zeros, of the task's type.

`request`: task, classes, targets and outputs of the network that is to predict.
"""

from __future__ import annotations

import numpy as np

from preparation.dataset_file import DatasetFile
from preparation.tasks import MULTI_LABEL, REGRESSION

SPLIT = "test"


def write(file: DatasetFile, request: dict, count: int) -> None:
    """The dataset `labels` for `count` samples."""
    width = int(request["outputs"])
    dtype, shape = {
        MULTI_LABEL: ("|u1", (count, width)),
        REGRESSION: ("<f4", (count, width) if width > 1 else (count,)),
    }.get(request["task"], ("<i8", (count,)))
    file.array(SPLIT, "labels", dtype, shape).append(np.zeros(shape, np.dtype(dtype)))


def attributes(request: dict) -> dict:
    """Task and names, as the network has them."""
    names = {key: request[key] for key in ("classes", "targets") if request[key]}
    return {"task": request["task"], **names}
