"""Batches in Thaw's order, from the plain files that pack_data.py writes."""

from __future__ import annotations

import torch
from kit import tensor_file

Batch = tuple[tuple[torch.Tensor | None, ...], torch.Tensor]  # a network's arguments, and labels


def steps(path: str, batch: int, count: int) -> list[Batch]:
    """The first `count` batches of a run (after the last of the file's order, from its start)."""
    data = tensor_file.read(path)
    order = data[f"order.{batch}"]
    chosen = [row[row >= 0] for row in (order[i % len(order)] for i in range(count))]
    if "inputs" in data:
        return [_images(data, rows) for rows in chosen]
    return [_texts(data, rows) for rows in chosen]


def _texts(data: dict[str, torch.Tensor], rows: torch.Tensor) -> Batch:
    """Padded to their own longest; no mask where nothing is padded."""
    begins, ends = data["offsets"][rows], data["offsets"][rows + 1]
    lengths = ends - begins
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for row, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist())):
        ids[row, : end - begin] = data["tokens"][begin:end]
    real = torch.arange(ids.shape[1]) < lengths[:, None]
    return (ids, None if bool(real.all()) else real), data["labels"][rows]


def _images(data: dict[str, torch.Tensor], rows: torch.Tensor) -> Batch:
    """Normalised; channels last where the caller wants that."""
    mean, std = (data[name].view(3, 1, 1) for name in ("mean", "std"))
    return ((data["inputs"][rows].float() / 255 - mean) / std,), data["labels"][rows]
