"""`prepare.py text`: CSV, TSV or JSON lines with a text and a label column."""

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
from preparation.tables import Columns, Table
from preparation.tokens import Sample, Tokenizer, write_text_file


def run(options: argparse.Namespace) -> None:
    """Goes through the tables twice: first all labels (and all mistakes), then the tokens."""
    columns = Columns(
        options.text_column,
        options.label_column,
        options.separator,
        not options.no_quotes,
        options.skip_empty,
    )
    tables = {split: Table(path, columns) for split, path in options.splits.items()}
    tokenizer = Tokenizer(options.tokenizer, options.max_tokens)
    listed = classes.read_class_list(options.classes) if options.classes else None
    with DatasetFile(options.output, options.force) as file:
        read = {split: _read_labels(table) for split, table in tables.items()}
        names, labels = classes.resolve(read, listed)
        taken = None
        if options.validation_fraction:
            taken = classes.validation_rows(
                labels["train"], options.validation_fraction, options.seed
            )
            whole = labels.pop("train")
            labels = {"train": whole[~taken], "validation": whole[taken], **labels}
        attributes = {
            "classes": names,
            "created_by": f"Thaw prepare.py text (h5py {h5py.__version__}, "
            f"tokenizers {tokenizers.__version__})",
            "sources": [
                {"split": split, **describe(table.path)} for split, table in tables.items()
            ],
            "options": _options(options),
        }
        write_text_file(
            file, options.output, tokenizer, _samples(tables, taken, labels), labels, attributes
        )


def _read_labels(table: Table) -> classes.Labels:
    labels = classes.Labels()
    with Progress(f"reading {table.path}", unit="rows") as progress:
        for row in table.rows():
            labels.add(row.label, lambda row=row: table.where(row))
            progress.add(1)
    if table.skipped:
        note(f"{table.path}: {table.skipped:,} rows without text or label left out")
    return labels


def _samples(
    tables: dict[str, Table], taken: np.ndarray | None, labels: dict[str, np.ndarray]
) -> Iterator[Sample]:
    """The second pass: train's rows that are `taken` go to validation."""
    for split, table in tables.items():
        expected = len(taken) if split == "train" and taken is not None else len(labels[split])
        number = 0
        for number, row in enumerate(table.rows(), 1):
            if number > expected:
                break
            goes_to = split
            if split == "train" and taken is not None and taken[number - 1]:
                goes_to = "validation"
            yield Sample(goes_to, row.text, table.where(row))
        if number != expected:
            raise InputError(f"{table.path}: changed while it was read")


def _options(options: argparse.Namespace) -> dict:
    """What, besides the sources, decided the content."""
    kept = {"text_column": options.text_column, "label_column": options.label_column}
    if options.validation_fraction:
        kept |= {"validation_fraction": options.validation_fraction, "seed": options.seed}
    if options.skip_empty:
        kept["skip_empty"] = True
    return kept
