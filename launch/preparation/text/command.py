"""`prepare.py text`: CSV, TSV or JSON lines with texts and what is to be learnt of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import h5py
import numpy as np
import tokenizers

from preparation import classes
from preparation.dataset_file import DatasetFile
from preparation.errors import InputError, note
from preparation.inputs import describe
from preparation.progress import Progress
from preparation.tasks import Resolved
from preparation.text import label_columns
from preparation.text.label_columns import LabelColumns
from preparation.text.tables import Columns, Table, Writing
from preparation.text.tokens import Sample, Tokenizer, write_text_file


def run(options: argparse.Namespace) -> None:
    """Goes through the tables twice: first all labels (and all mistakes), then the tokens."""
    if options.no_types and not options.pair_column:
        raise InputError("--no-types: is about pairs of texts, and there is no --pair-column")
    wanted = label_columns.of_options(options)
    columns = Columns(
        [options.text_column, *([options.pair_column] if options.pair_column else [])],
        wanted.columns,
        wanted.may_be_empty,
        wanted.lists,
        options.skip_empty,
    )
    quote = "" if options.no_quotes else options.quote
    writing = Writing(options.separator, quote, options.escape, options.encoding)
    inputs = [*options.splits.values(), options.tokenizer, *filter(None, [options.classes])]
    with DatasetFile(options.output, options.force, inputs) as file:
        tokenizer = Tokenizer(
            options.tokenizer, options.max_tokens, bool(options.pair_column), not options.no_types
        )
        listed = classes.read_class_list(options.classes) if options.classes else None
        tables = {split: Table(path, columns, writing) for split, path in options.splits.items()}
        read = {split: _read_labels(table, wanted) for split, table in tables.items()}
        task = wanted.resolve(read, listed)
        taken = task.split_train(options.validation_fraction, options.seed)
        attributes = {
            "created_by": f"Thaw prepare.py text (h5py {h5py.__version__}, "
            f"tokenizers {tokenizers.__version__})",
            "sources": [
                {"split": split, **describe(table.path)} for split, table in tables.items()
            ],
            "options": _options(options),
        }
        samples = _samples(tables, taken, task)
        write_text_file(file, options.output, tokenizer, samples, task, attributes)


def _read_labels(table: Table, wanted: LabelColumns):
    labels = wanted.start()
    with Progress(f"reading {table.path}", unit="rows") as progress:
        for row in table.rows():
            wanted.add(labels, row, lambda row=row: table.where(row))
            progress.add(1)
    if table.skipped:
        note(f"{table.path}: {table.skipped:,} rows without text or label left out")
    return labels


def _samples(
    tables: dict[str, Table], taken: np.ndarray | None, task: Resolved
) -> Iterator[Sample]:
    """The second pass: train's rows that are `taken` go to validation."""
    for split, table in tables.items():
        parted = split == "train" and taken is not None
        expected = len(taken) if parted else len(task.labels[split])
        number = 0
        for number, row in enumerate(table.rows(), 1):
            if number > expected:
                break
            goes_to = "validation" if parted and taken[number - 1] else split
            yield Sample(goes_to, row.texts, table.where(row))
        table.unchanged.check()
        if number != expected:
            raise InputError(f"{table.path}: changed while it was read")


def _options(options: argparse.Namespace) -> dict:
    """What, besides the sources, decided the content."""
    columns = ("text_column", "pair_column", "label_column", "label_columns", "label_separator",
               "target_column", "target_columns")  # fmt: skip
    kept = {name: getattr(options, name) for name in columns if getattr(options, name)}
    if options.validation_fraction:
        kept |= {"validation_fraction": options.validation_fraction, "seed": options.seed}
    for flag in ("skip_empty", "no_types"):
        if getattr(options, flag):
            kept[flag] = True
    return kept
