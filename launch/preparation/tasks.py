"""What is to be learnt, as a dataset file says it: its attribute `task`, and `labels` to match.

Classification: int64 [N], indices into `classes`. Multi-label: uint8 [N, C], whether sample n has
class c of `classes`. Regression: float32 [N] or [N, K], values of `targets`.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Callable, Iterator

import numpy as np

from preparation import classes, limits
from preparation.classes import Labels
from preparation.dataset_file import SLAB_BYTES, DatasetFile
from preparation.errors import InputError, listing, note

CLASSIFICATION, MULTI_LABEL, REGRESSION = KINDS = ("classification", "multi-label", "regression")


class LabelSets:
    """The classes of each sample, any number: `flat` has them one behind the other, `lengths` how
    many each sample has."""

    def __init__(self):
        self.flat = Labels()
        self.lengths: array | np.ndarray = array("i")

    def add(self, names: list[str], where: Callable[[], str]) -> None:
        """Adds the next sample's classes; one named twice counts once."""
        once = dict.fromkeys(names)
        for name in once:
            self.flat.add(name, where)
        self.lengths.append(len(once))

    @classmethod
    def of_slabs(cls, slabs: Iterator[np.ndarray], count: int, where: Callable[[int, int], str]):
        """From pieces of a matrix of 0 and 1 with a column for each of `count` classes."""
        sets = cls()
        sets.flat.names = [str(column) for column in range(count)]
        sets.flat.first = [""] * count
        lengths, found = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        row = total = 0
        for slab in slabs:
            bad = np.argwhere((slab != 0) & (slab != 1))
            if len(bad):
                at, column = bad[0]
                raise InputError(
                    f"{where(row + at, column)}: {slab[at, column]} is neither 0 nor 1, as a table "
                    "of several classes a sample has it"
                )
            at, columns = np.nonzero(slab)
            for column in np.unique(columns):
                if not sets.flat.first[column]:
                    sets.flat.first[column] = where(row + at[columns == column][0], column)
            total += len(columns)
            if total > limits.VALUES:
                raise InputError(f"{where(row, 0)}: more than {limits.VALUES:,} classes of samples")
            lengths.append(np.count_nonzero(slab, axis=1).astype(np.int32))
            found.append(columns.astype(np.int32))
            row += len(slab)
        sets.lengths, sets.flat.rows = np.concatenate(lengths), np.concatenate(found)
        return sets


class Dense:
    """Labels of a split that lie in memory as they are written."""

    def __init__(self, values: np.ndarray):
        self._values = values
        self.dtype = values.dtype.newbyteorder("<").str
        self.shape = values.shape
        self.bytes = values.nbytes

    def __len__(self) -> int:
        return len(self._values)

    @property
    def summary(self) -> str:
        """For the closing table: samples of a class, or the values' range."""
        if self._values.dtype.kind == "f":
            return f"{self._values.min():g} to {self._values.max():g}"
        return _range(np.bincount(self._values))

    def chosen(self, mask: np.ndarray) -> Dense:
        return Dense(self._values[mask])

    def slabs(self) -> Iterator[np.ndarray]:
        yield self._values


class Flags:
    """Labels uint8 [N, C] of a split, kept as the indices of ones: C may be thousands."""

    dtype = "|u1"

    def __init__(self, lengths: np.ndarray, indices: np.ndarray, count: int):
        self._lengths = lengths
        self._indices = indices
        self.shape = (len(lengths), count)
        self.bytes = len(lengths) * count

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def summary(self) -> str:
        return _range(np.bincount(self._indices)) if len(self._indices) else "0"

    def chosen(self, mask: np.ndarray) -> Flags:
        return Flags(self._lengths[mask], self._indices[mask.repeat(self._lengths)], self.shape[1])

    def keeping_all(self, taken: np.ndarray) -> np.ndarray:
        """`taken` without the first sample of each class that would have none left."""
        samples = np.arange(len(self)).repeat(self._lengths)
        left = np.bincount(self._indices[~taken[samples]], minlength=self.shape[1])
        held, first = np.unique(self._indices, return_index=True)
        kept = taken.copy()
        kept[samples[first[left[held] == 0]]] = False
        return kept

    def slabs(self) -> Iterator[np.ndarray]:
        ends = np.concatenate([[0], np.cumsum(self._lengths, dtype=np.int64)])
        step = max(1, SLAB_BYTES // self.shape[1])
        for start in range(0, len(self), step):
            lengths = self._lengths[start : start + step]
            slab = np.zeros((len(lengths), self.shape[1]), np.uint8)
            chosen = self._indices[ends[start] : ends[start + len(lengths)]]
            slab[np.arange(len(lengths)).repeat(lengths), chosen] = 1
            yield slab


def _range(counts: np.ndarray) -> str:
    counts = counts[counts > 0]
    low, high = counts.min(), counts.max()
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


@dataclasses.dataclass
class Resolved:
    """All splits' labels, and what the file's attributes say of them."""

    kind: str
    labels: dict[str, Dense | Flags]
    names: list[str]  # of the classes, or of the targets
    strata: np.ndarray | None = None  # of train's samples: what --validation-fraction keeps even

    @property
    def attributes(self) -> dict:
        return {"task": self.kind, "targets" if self.kind == REGRESSION else "classes": self.names}

    @property
    def summary(self) -> str:
        """For the closing line: `77 classes`, `2 targets`."""
        one, many = ("target", "targets") if self.kind == REGRESSION else ("class", "classes")
        several = ", several a sample" if self.kind == MULTI_LABEL else ""
        return f"{len(self.names)} {one if len(self.names) == 1 else many}{several}"

    def split_train(self, fraction: float | None, seed: int) -> np.ndarray | None:
        """Which of train's samples go to validation; their labels go with them."""
        if not fraction:
            return None
        taken = classes.validation_rows(self.strata, fraction, seed)
        labels = dict(self.labels)
        whole = labels.pop("train")
        if isinstance(whole, Flags):
            taken = whole.keeping_all(taken)
        self.labels = {"train": whole.chosen(~taken), "validation": whole.chosen(taken), **labels}
        return taken


def write_labels(file: DatasetFile, split: str, labels: Dense | Flags) -> None:
    """The dataset `labels` of `split`."""
    writer = file.array(split, "labels", labels.dtype, labels.shape)
    for slab in labels.slabs():
        writer.append(slab)


def resolve_classes(
    splits: dict[str, Labels], listed: list[str] | None, indices: bool = False
) -> Resolved:
    """One class a sample; `indices` as classes.resolve has it."""
    names, labels = classes.resolve(splits, listed, indices)
    dense = {split: Dense(values) for split, values in labels.items()}
    return Resolved(CLASSIFICATION, dense, names, labels.get("train"))


def resolve_sets(
    splits: dict[str, LabelSets], listed: list[str] | None, columns: list[str] | None = None
) -> Resolved:
    """Any number of classes a sample. `columns`: names that are classes in any case, before those
    that only occur."""
    for split, sets in splits.items():
        bare = len(sets.lengths) - np.count_nonzero(sets.lengths)
        if bare:
            note(f"{split}: {bare:,} of {len(sets.lengths):,} samples have none of the classes")
    if columns:
        seen = {name for sets in splits.values() for name in sets.flat.names}
        listed = [*columns, *classes.in_order(seen.difference(columns))]
    names, indices = classes.resolve({split: sets.flat for split, sets in splits.items()}, listed)
    if not names:
        raise InputError(f"no sample of {' or '.join(splits)} has a class")
    labels = {
        split: Flags(np.asarray(sets.lengths), indices[split].astype(np.int32), len(names))
        for split, sets in splits.items()
    }
    strata = None
    if "train" in splits:
        counts = np.bincount(indices["train"], minlength=len(names))
        _tell_constant(names, counts, len(labels["train"]))
        strata = _rarest(np.asarray(splits["train"].lengths), indices["train"], counts)
    return Resolved(MULTI_LABEL, labels, names, strata)


def _tell_constant(names: list[str], counts: np.ndarray, samples: int) -> None:
    always = [name for name, count in zip(names, counts) if count == samples]
    if always:
        note(f"every sample of train has {listing(f'{name}' for name in always)}")


def _rarest(lengths: np.ndarray, indices: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Of each sample the class that is rarest in train, or one more where it has none: a split by
    these keeps the shares of all classes about even."""
    order = np.argsort(np.argsort(counts, kind="stable"), kind="stable")  # rank of each class
    strata = np.full(len(lengths), len(counts), dtype=np.int64)
    some = np.flatnonzero(lengths)
    if len(some):
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        strata[some] = np.minimum.reduceat(order[indices], starts[some])
    return strata


def resolve_values(splits: dict[str, np.ndarray], names: list[str]) -> Resolved:
    """Values float32 [N] or [N, K], already known to be finite."""
    if "train" in splits:
        train = splits["train"].reshape(len(splits["train"]), -1)
        flat = [name for name, column in zip(names, train.T) if np.ptp(column) == 0]
        if flat and len(train) > 1:
            note(f"every sample of train has the same value of {listing(flat)}")
    labels = {split: Dense(values) for split, values in splits.items()}
    strata = np.zeros(len(splits["train"]), dtype=np.int64) if "train" in splits else None
    return Resolved(REGRESSION, labels, names, strata)
