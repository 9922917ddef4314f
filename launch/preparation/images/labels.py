"""Labels in arrays: what is to be learnt follows from their type and shape, or from --task."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from preparation import limits, tasks
from preparation.classes import Labels
from preparation.errors import InputError, note
from preparation.images.raw_arrays import RawArray
from preparation.tasks import LabelSets


@dataclasses.dataclass
class ArrayLabels:
    """The labels of a split as they were read, and what is to be learnt of them."""

    task: str  # one of tasks.KINDS
    name: str  # of the array
    read: Labels | LabelSets | np.ndarray
    columns: int  # of several classes or values a sample
    indices: bool = False  # of classes: numbers that count them, not names

    def __len__(self) -> int:
        if self.task == tasks.CLASSIFICATION:
            return len(self.read.rows)
        return len(self.read.lengths) if self.task == tasks.MULTI_LABEL else len(self.read)


def read_labels(labels: RawArray, wanted: str | None) -> ArrayLabels:
    """Integers and names are classes, real numbers values of a regression, and a matrix of bytes
    or truth values has several classes a sample; `wanted` (--task) says otherwise."""
    shape, kind = labels.shape, labels.dtype.kind
    single = len(shape) == 2 and shape[1] == 1
    if single and wanted != tasks.MULTI_LABEL:  # a column, as Keras keeps them
        shape = shape[:1]
    if kind not in "uibfUS":
        raise InputError(f"{labels.name}: has type {labels.dtype}; labels are numbers or names")
    matrix = len(shape) == 2
    if len(shape) != 1 and not matrix:
        raise InputError(f"{labels.name}: has shape {list(shape)}; labels are [N] or [N, C]")
    if matrix and not wanted and kind != "f" and labels.dtype.itemsize > 1:
        raise InputError(
            f"{labels.name}: has shape {list(shape)}; labels are one number or name each. If "
            "these are one-hot codes, take their indices (numpy: .argmax(1)); if a sample has "
            "several classes, give --task multi-label"
        )
    task = wanted or (
        tasks.REGRESSION if kind == "f" else tasks.MULTI_LABEL if matrix else tasks.CLASSIFICATION
    )
    if matrix and shape[1] > limits.CLASSES or math.prod(shape) > limits.VALUES and kind == "f":
        raise InputError(f"{labels.name}: has shape {list(shape)}; too large for labels")
    if (task == tasks.MULTI_LABEL) != matrix and task != tasks.REGRESSION:
        wants = "a column of 0 and 1 a class, [N, C]" if not matrix else "one class each, [N]"
        raise InputError(f"{labels.name}: has shape {list(labels.shape)}; {task} wants {wants}")
    if task == tasks.MULTI_LABEL and kind not in "ubif":
        raise InputError(f"{labels.name}: has type {labels.dtype}; {task} wants 0 and 1, uint8")
    if task == tasks.REGRESSION:
        return ArrayLabels(task, labels.array, _values(labels, shape), shape[1] if matrix else 1)
    if task == tasks.MULTI_LABEL:
        return ArrayLabels(task, labels.array, _sets(labels), shape[1])
    if kind not in "uiUS":
        raise InputError(
            f"{labels.name}: has type {labels.dtype}; classes are integers or names "
            "(numpy: .astype('int64'))"
        )
    return _classes(labels)


def _classes(labels: RawArray) -> ArrayLabels:
    read = Labels.of_slabs(labels.slabs(), lambda row: f"{labels.name}[{row}]")
    return ArrayLabels(tasks.CLASSIFICATION, labels.array, read, 0, labels.dtype.kind in "ui")


def _sets(labels: RawArray) -> LabelSets:
    sets = LabelSets.of_slabs(
        labels.slabs(), labels.shape[1], lambda row, column: f"{labels.name}[{row},{column}]"
    )
    if len(sets.lengths) and np.all(np.asarray(sets.lengths) == 1):
        note(
            f"{labels.name}: every sample has exactly one class; if these are one-hot codes, give "
            "their indices (numpy: .argmax(1)) and learn one class a sample"
        )
    return sets


def _values(labels: RawArray, shape: tuple[int, ...]) -> np.ndarray:
    if labels.dtype.kind not in "uif":
        raise InputError(f"{labels.name}: has type {labels.dtype}; a regression wants numbers")
    parts = []
    row = 0
    for slab in labels.slabs():
        with np.errstate(over="ignore"):
            values = slab.astype(np.float32)
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            where = bad[0]
            value = slab[tuple(where)]
            where[0] += row
            position = ",".join(str(index) for index in where)
            raise InputError(f"{labels.name}[{position}]: {value} is no finite float32")
        parts.append(values)
        row += len(slab)
    values = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if labels.dtype.kind == "f" and len(values) and np.array_equal(values, np.rint(values)):
        note(
            f"{labels.name}: all are whole numbers, taken as values of a regression; give classes "
            "as integers (numpy: .astype('int64'))"
            + ", and several classes a sample with --task multi-label"
            * (len(shape) > 1)
        )
    return values.reshape(shape)
