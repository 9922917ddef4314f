"""`prepare.py corpus`: running text, cut into pieces; the loss is of every token but the first."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from preparation import classes
from preparation.dataset_file import DatasetFile
from preparation.errors import InputError, note
from preparation.inputs import Unchanged, describe
from preparation.language.file import CAUSAL_LM, created_by, write_language_file
from preparation.language.vocabulary import Vocabulary, bytes_of
from preparation.progress import Progress
from preparation.text import encoding
from preparation.text.tables import Columns, Table, Writing
from preparation.text.tokens import Sample, Tokens

# A document is tokenized in blocks of about so many characters, or a long one would take as many
# times its size as it has tokens' places.
_BLOCK = 1 << 18


@dataclasses.dataclass
class Block(Sample):
    """A part of a document; `ends`: its last."""

    ends: bool = True


# Note [Documents in blocks]
# A block ends before a run of blanks behind something that is none: the pattern by which byte-level
# tokenizers split text into words takes a run of blanks together with what follows, so that the
# tokens are those of the whole document. Where a text has no blanks at all, a block ends anywhere.
def blocks(pieces: Iterator[str]) -> Iterator[tuple[str, bool]]:
    """A document that comes in pieces as blocks, each with whether it is the last."""
    held = ""
    for piece in pieces:
        held += piece
        while len(held) > 2 * _BLOCK:
            end = _end_of_block(held)
            yield held[:end], False
            held = held[end:]
    yield held, True


def _end_of_block(text: str) -> int:
    for end in range(_BLOCK, 2 * _BLOCK):
        if text[end].isspace() and not text[end - 1].isspace():
            return end
    return _BLOCK


class CorpusEncoder:
    """Cuts documents into pieces of at most `length` tokens, each a sample of its own that begins as
    the tokenizer begins a text. The end token, if any, stands behind each document.

    A piece of one token says nothing of what follows what: it is left out.
    """

    splits_have = ("bytes",)
    columns = ("documents", "counted")

    def __init__(self, vocabulary: Vocabulary, length: int, end: int | None):
        self._vocabulary = vocabulary
        self._room = length - len(vocabulary.prefix)
        self._end = end
        self._ids: list[int] = []
        self._sizes: list[int] = []
        self._single = 0
        self._documents: dict[str, int] = {}
        self._counted: dict[str, int] = {}
        if self._room < 2:
            raise InputError(f"--length {length}: leaves no room for text")

    def encode(self, samples: list[Block]) -> Iterator[tuple[Sample, Tokens]]:
        encodings = self._vocabulary.encode([block.texts[0] for block in samples], samples[0].where)
        for block, found in zip(samples, encodings):
            self._ids += found.ids
            self._sizes += bytes_of(found.offsets, block.texts[0])
            if block.ends:
                if self._end is not None and self._ids:
                    self._ids.append(self._end)
                    self._sizes.append(0)
                self._documents[block.split] = self._documents.get(block.split, 0) + 1
            while len(self._ids) > self._room or (block.ends and self._ids):
                tokens = self._piece(block.split)
                if tokens:
                    yield block, tokens

    def _piece(self, split: str) -> Tokens | None:
        ids = [*self._vocabulary.prefix, *self._ids[: self._room]]
        sizes = [0] * len(self._vocabulary.prefix) + self._sizes[: self._room]
        self._ids, self._sizes = self._ids[self._room :], self._sizes[self._room :]
        if len(ids) < 2:
            self._single += 1
            return None
        self._counted[split] = self._counted.get(split, 0) + len(ids) - 1
        return Tokens(ids, False, of_sample={"bytes": sum(sizes[1:])})

    def tell(self, splits: list[str]) -> None:
        if self._single:
            note(f"{self._single:,} piece{'s' * (self._single > 1)} of one token at the end of a document left out")

    def summary(self, split: str) -> list[str]:
        return [f"{self._documents.get(split, 0):,}", f"{self._counted.get(split, 0):,}"]


class Documents:
    """The documents of some files; can be gone through again and gives the same again.

    `parted`: "files", "blank-lines" or "lines", where one ends; `column`: or each row of a table
    has one there.
    """

    def __init__(self, paths: list[str], parted: str, column: str | None, writing: Writing):
        self.paths = paths
        self._parted = parted
        self._tables = []
        if column:
            self._tables = [Table(path, Columns([column], []), writing) for path in paths]
            return
        self._unchanged = Unchanged(paths)
        self._encodings = [encoding.detect(path, writing.encoding) for path in paths]

    def __iter__(self) -> Iterator[tuple[str, Iterator[str]]]:
        """Where each begins, and its text in pieces, to be taken before the next is asked for."""
        for table in self._tables:
            for row in table.rows():
                yield table.where(row), iter(row.texts)
            table.unchanged.check()
        if not self._tables:
            for path, name in zip(self.paths, self._encodings):
                yield from self._of_file(path, encoding.lines(path, name))
            self._unchanged.check()

    def _of_file(self, path: str, lines: Iterator[str]) -> Iterator[tuple[str, Iterator[str]]]:
        if self._parted == "files":
            yield path, lines
            return
        held: list[str] = []
        start = 1
        for number, line in enumerate(lines, 1):
            if self._parted == "lines":
                if line.strip():
                    yield f"{path}:{number}", iter([line.rstrip("\r\n")])
            elif line.strip():
                start = start if held else number
                held.append(line)
            elif held:
                yield f"{path}:{start}", iter(held)
                held = []
        if held:
            yield f"{path}:{start}", iter(held)


@dataclasses.dataclass
class Extent:
    """What the first pass finds of a split."""

    documents: int = 0
    characters: int = 0  # of the last document


def _extent(documents: Documents) -> Extent:
    extent = Extent()
    with Progress(f"reading {documents.paths[0]}", unit="documents") as progress:
        for _, pieces in documents:
            extent.documents += 1
            extent.characters = sum(map(len, pieces))
            progress.add(1)
    return extent


def _until(pieces: Iterator[str], end: int, rest: list[str]) -> Iterator[str]:
    """The pieces up to the first blanks behind `end` characters; what is left of the last one goes
    to `rest`."""
    passed = 0
    for piece in pieces:
        at = max(0, end - passed)
        while at < len(piece) and not piece[at].isspace():
            at += 1
        passed += len(piece)
        if at < len(piece):
            yield piece[:at]
            rest.append(piece[at:].lstrip())
            return
        yield piece


# Note [Held-out text]
# Of several documents some, drawn at random, are validation, whole: a document's later part says much
# about its earlier one. Of a single one, as a book in one file, it is the end.
def _parts(
    documents: Documents, split: str, extent: Extent, fraction: float | None, seed: int
) -> Iterator[tuple[str, str, Iterator[str]]]:
    """Each document as (its split, where it begins, its text in pieces)."""
    if not fraction:
        for where, pieces in documents:
            yield split, where, pieces
    elif extent.documents == 1:
        for where, pieces in documents:
            rest: list[str] = []
            end = round((1 - fraction) * extent.characters)
            yield split, where, _until(pieces, end, rest)
            yield "validation", where, itertools.chain(rest, pieces)
    else:
        rows = np.zeros(extent.documents, dtype=np.int64)
        taken = classes.validation_rows(rows, fraction, seed)
        for number, (where, pieces) in enumerate(documents):
            if number >= len(taken):
                raise InputError(f"{documents.paths[0]}: changed while it was read")
            yield "validation" if taken[number] else split, where, pieces


def _blocks(parts: Iterator[tuple[str, str, Iterator[str]]]) -> Iterator[Block]:
    for split, where, pieces in parts:
        for text, ends in blocks(pieces):
            yield Block(split, [text], where, ends)


def run(options: argparse.Namespace) -> None:
    given = {"train": options.text, "validation": options.validation, "test": options.test}
    sources = {split: paths for split, paths in given.items() if paths}
    if not sources:
        raise InputError("give at least one of --text, --validation and --test")
    if options.validation_fraction and (not options.text or options.validation):
        raise InputError("--validation-fraction takes from --text, in place of --validation")
    inputs = [*(path for paths in sources.values() for path in paths), options.tokenizer]
    writing = Writing(encoding=options.encoding)
    with DatasetFile(options.output, options.force, inputs) as file:
        vocabulary = Vocabulary(options.tokenizer)
        ends = [] if options.no_end_token else vocabulary.end_ids(options.end_token)
        end = ends[0] if ends else None
        encoder = CorpusEncoder(vocabulary, options.length, end)
        documents = {
            split: Documents(paths, options.documents, options.text_column, writing)
            for split, paths in sources.items()
        }
        extents = {split: _extent(held) for split, held in documents.items()}
        splits = list(sources)
        if options.validation_fraction:
            splits.insert(1, "validation")
        attributes = {
            "task": CAUSAL_LM,
            "created_by": created_by("corpus"),
            "sources": [
                {"split": split, **describe(path)}
                for split, paths in sources.items()
                for path in paths
            ],
            "options": _options(options),
            "max_tokens": options.length,
            **vocabulary.attributes,
        }
        if end is None:
            note("no end token stands behind the documents")
        else:
            attributes["end_token"] = vocabulary.name_of(end)
        parts = (
            part
            for split, held in documents.items()
            for part in _parts(
                held,
                split,
                extents[split],
                options.validation_fraction if split == "train" else None,
                options.seed,
            )
        )
        write_language_file(
            file, options.output, encoder, _blocks(parts), splits, None, attributes, "running text"
        )


def _options(options: argparse.Namespace) -> dict:
    names = ("length", "documents", "text_column", "end_token", "no_end_token")
    kept = {name: getattr(options, name) for name in names if getattr(options, name)}
    if options.validation_fraction:
        kept |= {"validation_fraction": options.validation_fraction, "seed": options.seed}
    return kept
