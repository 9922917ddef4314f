"""Classes: their order, labels as indices into it, and a split that keeps each class's share."""

from __future__ import annotations

import math
import random
import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable

import numpy as np

from preparation import limits
from preparation.errors import InputError, listing, note, suggestion
from preparation.inputs import read_whole


class Labels:
    """The labels of one input as they were read: small numbers in the order of first appearance.

    `names[id]` is the class, `rows[i]` the id of sample i, `first[id]` where the class was first
    seen, to be named in an error.
    """

    def __init__(self):
        self.names: list[str] = []
        self.first: list[str] = []
        self.rows: array | np.ndarray = array("i")
        self._ids: dict[str, int] = {}

    def add(self, name: str, where: Callable[[], str]) -> None:
        """Adds the next sample's label."""
        number = self._ids.get(name)
        if number is None:
            number = self._new(name, where())
        elif len(self.rows) >= limits.SAMPLES:
            limits.check_samples(where(), len(self.rows) + 1)
        self.rows.append(number)

    def _new(self, name: str, where: str) -> int:
        if len(name) > limits.CLASS_NAME:
            raise InputError(
                f"{where}: a class's name of {len(name):,} characters: is this the column of texts?"
            )
        number = self._ids[name] = len(self.names)
        if number >= limits.CLASSES:
            raise InputError(f"{where}: more than {limits.CLASSES:,} classes: these are ids")
        self.names.append(name)
        self.first.append(where)
        return number

    @classmethod
    def of_slabs(cls, slabs: Iterable[np.ndarray], where: Callable[[int], str]) -> Labels:
        """The labels of an array of integers or names, in pieces; `where`: of sample i."""
        labels = cls()
        rows = [np.zeros(0, np.int32)]
        start = 0
        for slab in slabs:
            _check_characters(slab, start, where)
            found, first, at = np.unique(slab.reshape(-1), return_index=True, return_inverse=True)
            numbers = np.zeros(len(found), np.int32)
            for index, value in enumerate(found):
                name = _name_of(value, where(start + int(first[index])))
                number = labels._ids.get(name)
                if number is None:
                    number = labels._new(name, where(start + int(first[index])))
                numbers[index] = number
            rows.append(numbers[at.reshape(-1)])
            start += len(slab)
        labels.rows = np.concatenate(rows)
        return labels

    def counts(self) -> np.ndarray:
        """Samples of each name."""
        return np.bincount(np.asarray(self.rows), minlength=len(self.names))


def read_class_list(path: str) -> list[str]:
    """A file with one class name a line, in the order of their indices."""
    try:
        # Not splitlines(), which also ends lines at characters that a name may hold.
        lines = re.split("\r\n|\n|\r", read_whole(path).decode("utf-8-sig"))
        names = [line.strip() for line in lines]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8: {error}") from error
    while names and not names[-1]:
        names.pop()
    if not names:
        raise InputError(f"{path}: is empty; one class name a line is needed")
    first: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name:
            raise InputError(f"{path}:{number}: is empty; one class name a line is needed")
        if name in first:
            raise InputError(
                f'{path}:{number}: "{name}" is already the class of line {first[name]}'
            )
        if len(name) > limits.CLASS_NAME or number > limits.CLASSES:
            raise InputError(f"{path}:{number}: is no list of class names, one a line")
        first[name] = number
    return names


def in_order(names: Iterable[str]) -> list[str]:
    """Numbers numerically, where all are numbers; else by code points."""
    names = list(names)
    for number in (int, float):
        try:
            values = {name: number(name) for name in names}
        except ValueError:
            continue
        if all(math.isfinite(value) for value in values.values()):
            return sorted(names, key=lambda name: (values[name], name))
    return sorted(names)


def resolve(
    splits: dict[str, Labels], listed: list[str] | None = None, indices: bool = False
) -> tuple[list[str], dict[str, np.ndarray]]:
    """The class names, and each split's labels as indices into them (int64).

    Where `listed` is given (--classes), its order counts, and labels that are integers and not
    among the names are indices. Else classes are those of train (of all splits without a train),
    in order. `indices`: labels are indices in any case, as in an array of integers.
    """
    if not listed:
        _refuse_untrained(splits)
        _refuse_ids(splits, indices)
    names = {name for labels in splits.values() for name in labels.names}
    if indices or (listed and not names.intersection(listed) and all(map(_is_integer, names))):
        classes, index = _as_indices(splits, names, listed)
    else:
        classes = listed or in_order(names)
        index = {name: number for number, name in enumerate(classes)}
        for labels in splits.values():
            for name, first in zip(labels.names, labels.first):
                if name not in index:
                    raise InputError(
                        f'{first}: class "{name}" is not in the list given with --classes'
                        + suggestion(name, classes)
                    )
    _check_names(
        classes,
        {
            name: where
            for labels in reversed(splits.values())
            for name, where in zip(labels.names, labels.first)
        },
    )
    if "train" in splits:
        _tell_untrained(classes, index, splits["train"])
    elif not listed:
        note(
            f"no train split: its {len(classes)} classes are those that occur in "
            f"{' and '.join(splits)}; --classes FILE fixes names and order"
        )
    resolved = {}
    for split, labels in splits.items():
        table = np.array([index[name] for name in labels.names], dtype=np.int64)
        resolved[split] = table[np.asarray(labels.rows)]
    return classes, resolved


def _is_integer(name: str) -> bool:
    try:
        int(name)
    except ValueError:
        return False
    return True


def _as_indices(
    splits: dict[str, Labels], names: set[str], listed: list[str] | None
) -> tuple[list[str], dict[str, int]]:
    index = {name: int(name) for name in names}
    end = len(listed) if listed else max(index.values()) + 1
    for labels in splits.values():
        for name, first in zip(labels.names, labels.first):
            if not 0 <= index[name] < end:
                known = f"--classes lists {end} (0 to {end - 1})" if listed else "they count from 0"
                raise InputError(f"{first}: label {name} is no index of a class: {known}")
    largest = str(end - 1)
    firsts = (dict(zip(labels.names, labels.first)) for labels in splits.values())
    where = next((f"{first[largest]}: " for first in firsts if first.get(largest)), "")
    if not listed and end > min(limits.CLASSES, max(1000, 16 * len(index))):
        raise InputError(
            f"{where}labels go up to {end - 1:,}, but only {len(index):,} occur: these are ids "
            "rather than indices of classes; --classes FILE lists the classes if they are"
        )
    return listed or [str(number) for number in range(end)], index


def _refuse_untrained(splits: dict[str, Labels]) -> None:
    """A class that train lacks cannot be learned, and would silently be counted as errors."""
    if "train" not in splits:
        return
    known = set(splits["train"].names)
    for split, labels in splits.items():
        unknown = [number for number, name in enumerate(labels.names) if name not in known]
        if unknown:
            samples = int(labels.counts()[unknown].sum())
            quoted = listing((f'"{labels.names[number]}"' for number in unknown), 3)
            raise InputError(
                f"{labels.first[unknown[0]]}: class{'es' * (len(unknown) > 1)} {quoted} "
                f"({samples:,} sample{'s' * (samples > 1)}) in {split} but not in train: leave "
                "them out or move some to train, or list all classes with --classes FILE"
            )


def _tell_untrained(classes: list[str], index: dict[str, int], train: Labels) -> None:
    trained = {index[name] for name in train.names}
    missing = [name for number, name in enumerate(classes) if number not in trained]
    if len(trained) == 1:
        name = classes[trained.pop()]
        note(f'all samples of train are of class "{name}": there is nothing to tell apart')
    if missing:
        note(
            f"{len(missing)} of {len(classes)} classes have no sample in train: {listing(missing)}"
        )


def _refuse_ids(splits: dict[str, Labels], indices: bool) -> None:
    """A column where nearly each sample has a value of its own is none of classes."""
    name = "train" if "train" in splits else next(iter(splits))
    labels = splits[name]
    if len(labels.names) > 100 and 2 * len(labels.names) > len(labels.rows):
        values = "" if indices else " (numbers to be predicted: --target-column)"
        raise InputError(
            f"{labels.first[0]}: the {len(labels.rows):,} labels of {name} name "
            f"{len(labels.names):,} classes, as ids do{values}; if they are classes, list them "
            "with --classes FILE"
        )


def _check_names(classes: list[str], first: dict[str, str]) -> None:
    """Refuses names that cannot be kept, or that nobody can tell apart; tells doubtful ones."""
    seen: dict[str, str] = {}
    folded: dict[str, str] = {}
    numbers: dict[float, str] = {}
    cases, alike, strange = [], [], []
    for name in classes:
        where = f"{first[name]}: " if first.get(name) else ""
        if "\0" in name:
            raise InputError(f"{where}class {name!r}: a class name cannot hold a zero byte")
        look = _look(name)
        if look in seen:
            raise InputError(
                f"{where}two classes of one name: {ascii(seen[look])} and {ascii(name)} look the "
                "same; make them one"
            )
        seen[look] = name
        if folded.setdefault(look.casefold(), name) is not name:
            cases.append(f'"{folded[look.casefold()]}" and "{name}"')
        number = _number(name)
        if number is not None and numbers.setdefault(number, name) is not name:
            alike.append(f'"{numbers[number]}" and "{name}"')
        if not name.isprintable():
            strange.append(name)
    if cases:
        note(f"classes that differ only in upper case: {listing(cases, 3)}")
    if alike:
        note(f"classes that are the same number, written differently: {listing(alike, 3)}")
    if strange:
        note(
            f"{len(strange)} class names hold control characters or bytes that are no UTF-8: "
            f"{listing(strange, 3)}; they are stored as they are"
        )


def _number(name: str) -> float | None:
    """What a spreadsheet would take a name for."""
    try:
        number = float(name)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _look(name: str) -> str:
    """What is seen of a name: composed letters, single blanks, nothing invisible."""
    text = unicodedata.normalize("NFC", name)
    visible = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cc") or c.isspace())
    return " ".join(visible.split())


def _check_characters(slab: np.ndarray, start: int, where: Callable[[int], str]) -> None:
    """numpy's text is 32 bits a character, whatever they say."""
    if slab.dtype.kind == "U":
        codes = np.ascontiguousarray(slab).view(
            np.dtype(np.uint32).newbyteorder(slab.dtype.byteorder)
        )
        bad = np.flatnonzero((codes.reshape(len(slab), -1) > 0x10FFFF).any(axis=1))
        if len(bad):
            raise InputError(f"{where(start + int(bad[0]))}: holds what is no character")


def _name_of(value, where: str) -> str:
    """An array's label as text; bytes that are no UTF-8 stay what they are."""
    if isinstance(value, bytes):
        name = value.decode("utf-8", "surrogateescape")
    else:
        name = str(value)
    if not name.strip():
        raise InputError(f"{where}: is empty; the name of a class is needed")
    if isinstance(value, bytes):
        return name
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: holds half a surrogate pair: {error.reason}") from error
    return name


def validation_rows(rows: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Which samples to take from train for validation: a mask with round(fraction · N) true.

    Stratified: within each class samples are in random order at equal distances, and those within
    the first `fraction` are taken; one sample of each class always stays in train. A function of
    the labels' order and the seed alone, on any machine: Python promises that `random()` never
    changes for a seed, numpy does not.
    """
    count = len(rows)
    wanted = int(fraction * count + 0.5)
    source = random.Random(seed)
    order = np.argsort(np.fromiter((source.random() for _ in range(count)), float, count))
    order = order[np.argsort(rows[order], kind="stable")]  # by class, at random within
    sizes = np.bincount(rows)
    if not 0 < wanted <= count - np.count_nonzero(sizes):
        raise InputError(
            f"--validation-fraction {fraction:g} of {count:,} samples would take {wanted:,}: at "
            "least 1 must go and one of each class stay"
        )
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(count) - starts.repeat(sizes)
    shift = np.array([source.random() for _ in sizes]).repeat(sizes)
    size = sizes.repeat(sizes)
    depth = np.where(rank == size - 1, np.inf, (rank + shift) / size)
    mask = np.zeros(count, dtype=bool)
    mask[order[np.argsort(depth, kind="stable")[:wanted]]] = True
    return mask
