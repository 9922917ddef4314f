"""Labels of a table: which columns hold them, and what a row's fields say."""

from __future__ import annotations

import argparse
import math
from array import array
from collections.abc import Callable

import numpy as np

from preparation import classes, tasks
from preparation.errors import InputError
from preparation.text.tables import Row

_FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
_LARGEST = float(np.finfo(np.float32).max)


class OneClass:
    """--label-column: the name of one class."""

    lists = False

    def __init__(self, column: str):
        self.columns = [column]
        self.may_be_empty: list[str] = []

    def start(self) -> classes.Labels:
        return classes.Labels()

    def add(self, labels: classes.Labels, row: Row, where: Callable[[], str]) -> None:
        labels.add(row.labels[0], where)

    def resolve(self, splits: dict[str, classes.Labels], listed: list[str] | None):
        return tasks.resolve_classes(splits, listed)


class SeveralClasses:
    """--label-columns of 0 and 1, a class each; --label-separator within --label-column."""

    def __init__(self, flags: list[str], column: str | None, separator: str | None):
        self.columns = [*flags, *([column] if column else [])]
        self.may_be_empty = [column] if column else []  # a sample need not have a class
        self.lists = bool(column)
        self._flags = flags
        self._column = column
        self._separator = separator

    def start(self) -> tasks.LabelSets:
        return tasks.LabelSets()

    def add(self, sets: tasks.LabelSets, row: Row, where: Callable[[], str]) -> None:
        names = [name for name, value in zip(self._flags, row.labels) if _flag(name, value, where)]
        if self._column:
            value = row.labels[-1]
            parts = value if isinstance(value, list) else value.split(self._separator)
            given = [part.strip() for part in parts]
            for name in set(given).intersection(self._flags):
                raise InputError(
                    f'{where()}: "{name}" in "{self._column}" is a column of --label-columns too'
                )
            names += filter(None, given)
        sets.add(names, where)

    def resolve(self, splits: dict[str, tasks.LabelSets], listed: list[str] | None):
        if self._flags and listed:
            raise InputError("--classes and --label-columns: the columns name the classes already")
        return tasks.resolve_sets(splits, listed, self._flags)


class Values:
    """--target-column, --target-columns: a number each."""

    lists = False

    def __init__(self, columns: list[str]):
        self.columns = columns
        self.may_be_empty: list[str] = []

    def start(self) -> array:
        return array("f")

    def add(self, values: array, row: Row, where: Callable[[], str]) -> None:
        values.extend(_number(*pair, where) for pair in zip(self.columns, row.labels))

    def resolve(self, splits: dict[str, array], listed: list[str] | None):
        if listed:
            raise InputError("--classes: numbers of --target-columns have no classes")
        shape = (-1, len(self.columns)) if len(self.columns) > 1 else (-1,)
        dense = {split: np.asarray(values).reshape(shape) for split, values in splits.items()}
        return tasks.resolve_values(dense, self.columns)


LabelColumns = OneClass | SeveralClasses | Values


def of_options(options: argparse.Namespace) -> LabelColumns:
    """What the command line asks for; refuses what does not go together."""
    targets = [name for name in ("target_column", "target_columns") if getattr(options, name)]
    labels = [name for name in ("label_column", "label_columns") if getattr(options, name)]
    if not targets and not labels:
        raise InputError(
            "what is to be learnt: give --label-column (one class a text; with --label-separator "
            "several), --label-columns (several), or --target-column (a number)"
        )
    if len(targets) > 1 or (targets and (labels or options.label_separator)):
        given = [f"--{name.replace('_', '-')}" for name in [*labels, *targets]]
        raise InputError(f"{' and '.join(given)}: numbers and classes do not go together")
    if options.target_column:
        return Values([options.target_column])
    if options.target_columns:
        return Values(options.target_columns)
    if options.label_separator and not options.label_column:
        raise InputError(
            "--label-separator: give the column whose names it separates with --label-column"
        )
    if options.label_columns and options.label_column and not options.label_separator:
        raise InputError(
            "--label-column beside --label-columns: give --label-separator too, which separates "
            "its names"
        )
    if options.label_columns or options.label_separator:
        flags = options.label_columns or []
        if options.label_column in flags:
            raise InputError(f"--label-column {options.label_column}: is in --label-columns too")
        return SeveralClasses(flags, options.label_column, options.label_separator)
    return OneClass(options.label_column)


def _flag(column: str, value: str, where: Callable[[], str]) -> bool:
    flag = _FLAGS.get(value.lower())
    if flag is None:
        raise InputError(
            f'{where()}: "{column}" is "{value[:40]}"; a column of --label-columns holds 0 or 1'
        )
    return flag


def _number(column: str, value: str, where: Callable[[], str]) -> float:
    try:
        number = math.nan if "_" in value else float(value)  # Python's 1_000
    except ValueError:
        number = math.nan
    if abs(number) <= _LARGEST:  # not where it is no number at all
        return number
    problem = "does not fit into float32" if math.isfinite(number) else "is no finite number"
    hint = " (a point separates decimals, nothing thousands)" if "," in value else ""
    raise InputError(f'{where()}: "{column}" is "{value[:40]}", which {problem}{hint}')
