"""The dataset file of a language model's samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import h5py
import tokenizers

from preparation.dataset_file import DatasetFile
from preparation.errors import InputError
from preparation.progress import file_size, tell_result
from preparation.text.tokens import Encoder, Sample, TokenSplit, tokenize

CAUSAL_LM, TOKEN_CLASSIFICATION = "causal-lm", "token-classification"


class LanguageEncoder(Encoder, Protocol):
    """What a subcommand's encoder tells besides."""

    splits_have: tuple[str, ...]  # names of the numbers that each sample has
    columns: tuple[str, ...]  # of the closing table, behind those of every text

    def tell(self, splits: list[str]) -> None: ...

    def summary(self, split: str) -> list[str]: ...


def created_by(command: str) -> str:
    versions = f"h5py {h5py.__version__}, tokenizers {tokenizers.__version__}"
    return f"Thaw prepare.py {command} ({versions})"


def write_language_file(
    file: DatasetFile,
    output: str,
    encoder: LanguageEncoder,
    samples: Iterable[Sample],
    splits: list[str],
    total: int | None,
    attributes: dict,
    what: str,
    beside: dict[str, str] | None = None,
) -> None:
    """Tokenizes `samples` into `file`, commits it and prints what it holds. `beside`: names and
    types of what each token has besides its id."""
    spools = {split: TokenSplit(file.folder, beside, encoder.splits_have) for split in splits}
    tokenize(encoder, samples, spools, total, file.folder)
    encoder.tell(splits)
    for split, spool in spools.items():
        if not len(spool):
            raise InputError(f"{split}: no sample is left: see the notes above")
    file.check_space(sum(spool.bytes for spool in spools.values()))
    rows = []
    for split, spool in spools.items():
        rows.append([split, *spool.summary(), *encoder.summary(split)])
        spool.write(file, split)
    size = file.commit({"kind": "text", **attributes})
    head = ["split", "samples", "tokens", "median", "longest", "truncated", *encoder.columns]
    tell_result(output, f"{what}, {file_size(size)}", head, rows)
