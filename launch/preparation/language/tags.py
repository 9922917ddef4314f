"""`prepare.py tags`: sentences in words with a class each, as for the recognition of names."""

from __future__ import annotations

import argparse
import dataclasses
import re
from array import array
from collections.abc import Iterator

import numpy as np

from preparation import classes, limits
from preparation.classes import Labels
from preparation.dataset_file import DatasetFile
from preparation.errors import InputError, note, suggestion
from preparation.inputs import Unchanged, describe
from preparation.language.file import TOKEN_CLASSIFICATION, created_by, write_language_file
from preparation.language.vocabulary import Vocabulary
from preparation.progress import Progress
from preparation.text import encoding
from preparation.text.json_object import JsonObject, read_json_line
from preparation.text.tokens import Sample, Tokens, check_lengths

NOT_COUNTED = -100
_JSON_LINES = (".jsonl", ".ndjson", ".json")
_NO_WORD = re.compile(r"\d+[-.]\d+$")  # CoNLL-U: several words written as one, and empty nodes


@dataclasses.dataclass
class Sentence:
    words: list[str]
    tags: list[str]
    where: str


@dataclasses.dataclass
class Tagged(Sample):
    """A sentence's words as `texts`, and the class of each."""

    labels: list[int] = dataclasses.field(default_factory=list)


class TaggedFile:
    """Sentences of a file, in columns (CoNLL) or as JSON lines; the same again each time."""

    def __init__(self, path: str, word: str | None, tag: str | None, encoding_name: str | None):
        self.path = path
        self.unchanged = Unchanged([path])
        name = path.lower().removesuffix(".gz")
        self._json = name.endswith(_JSON_LINES)
        self._encoding = encoding.detect(path, encoding_name)
        default = ("tokens", "tags") if self._json else ("1", "-1")
        self._word, self._tag = word or default[0], tag or default[1]
        if not self._json:
            self._columns = tuple(map(self._column, (self._word, self._tag)))
            self._tabs = any("\t" in line for line in self._head())

    def sentences(self) -> Iterator[Sentence]:
        count = 0
        for sentence in self._of_json() if self._json else self._of_columns():
            count += 1
            if count > limits.SAMPLES:
                limits.check_samples(sentence.where, count)
            yield sentence
        self.unchanged.check()
        if not count:
            raise InputError(f"{self.path}: has no sentences")

    def _column(self, text: str) -> int:
        if not re.fullmatch(r"-?[1-9]\d{0,3}", text):
            raise InputError(
                f"{self.path}: column {text!r}: of a file in columns it is a number: 1 is the first, "
                "-1 the last (JSON lines? name it .jsonl)"
            )
        return int(text) - (int(text) > 0)

    def _lines(self) -> Iterator[str]:
        return encoding.lines(self.path, self._encoding)

    def _head(self) -> Iterator[str]:
        for number, line in enumerate(self._lines()):
            if number >= 100:
                return
            yield line

    def _of_columns(self) -> Iterator[Sentence]:
        held = Sentence([], [], "")
        width = 0
        for number, line in enumerate(self._lines(), 1):
            where = f"{self.path}:{number}"
            fields = self._fields(line)
            if fields is None:
                continue
            if not fields:
                if held.words:
                    yield held
                held = Sentence([], [], "")
                continue
            width = width or len(fields)
            if len(fields) != width:
                raise InputError(
                    f"{where}: has {len(fields)} columns, the first word has {width} (columns are "
                    f"separated by {'tabs' if self._tabs else 'blanks'}, sentences by an empty line)"
                )
            word, tag = (self._at(fields, column, where) for column in self._columns)
            held.where = held.where or where
            held.words.append(word)
            held.tags.append(tag)
            _check_length(held)
        if held.words:
            yield held

    def _fields(self, line: str) -> list[str] | None:
        """A word's columns; nothing where a sentence ends; None of a line that is no word's."""
        if not line.strip() or line.startswith("-DOCSTART-"):
            return []
        if not self._tabs:
            return line.split()
        if line.startswith("#") and "\t" not in line:
            return None
        fields = [field.strip() for field in line.rstrip("\r\n").split("\t")]
        return None if len(fields) == 10 and _NO_WORD.match(fields[0]) else fields

    def _at(self, fields: list[str], column: int, where: str) -> str:
        if not -len(fields) <= column < len(fields):
            raise InputError(
                f"{where}: has {len(fields)} columns, none of which is {column + (column >= 0)}"
            )
        if not fields[column]:
            raise InputError(f"{where}: column {column + (column >= 0)} is empty")
        return fields[column]

    def _of_json(self) -> Iterator[Sentence]:
        for number, line in enumerate(self._lines(), 1):
            if not line.strip():
                continue
            where = f"{self.path}:{number}"
            try:
                row = read_json_line(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{where}: is not JSON: {error} (one object a line)") from error
            if not isinstance(row, dict):
                raise InputError(f"{where}: is no JSON object; one a line is needed")
            words, tags = (self._list(row, name, where) for name in (self._word, self._tag))
            if len(words) != len(tags):
                raise InputError(f"{where}: has {len(words)} words and {len(tags)} tags")
            if not words:
                raise InputError(f"{where}: has no words")
            sentence = Sentence(words, tags, where)
            _check_length(sentence)
            yield sentence

    def _list(self, row: JsonObject, name: str, where: str) -> list[str]:
        if name not in row:
            raise InputError(f'{where}: has no "{name}"{suggestion(name, row)}')
        row.check_once(name, where)
        values = row[name]
        if not isinstance(values, list):
            raise InputError(f'{where}: "{name}" is no list')
        for value in values:
            right = isinstance(value, (str, int)) and not isinstance(value, bool)
            if not right or not str(value).strip():
                raise InputError(f'{where}: "{name}" holds {value!r:.40}; names are needed')
        return [str(value) for value in values]


def _check_length(sentence: Sentence) -> None:
    if len(sentence.words) > limits.TEXT // 8:
        raise InputError(f"{sentence.where}: a sentence of more than {limits.TEXT // 8:,} words")


class TagEncoder:
    """A word's class goes to the first of its tokens; further ones and special tokens do not count."""

    splits_have = ()
    columns = ("words",)

    def __init__(self, vocabulary: Vocabulary, longest: int):
        self._vocabulary = vocabulary
        self._words: dict[str, int] = {}
        self._silent = 0
        self._first_silent = ""
        if vocabulary.space_words():
            note(f"{vocabulary.path}: words get a blank before them, as in running text")
        vocabulary.truncate_words(longest)

    def encode(self, samples: list[Tagged]) -> Iterator[tuple[Sample, Tokens | None]]:
        check_lengths(samples)
        encodings = self._vocabulary.encode_words(
            [sample.texts for sample in samples], samples[0].where
        )
        for sample, found in zip(samples, encodings):
            labels, last = [], None
            for word in found.word_ids:
                new = word is not None and word != last
                labels.append(sample.labels[word] if new else NOT_COUNTED)
                last = word if word is not None else last
            counted = len(labels) - labels.count(NOT_COUNTED)
            cut = bool(found.overflowing)
            self._words[sample.split] = self._words.get(sample.split, 0) + counted
            if counted < len(sample.texts) and not cut:
                self._silent += len(sample.texts) - counted
                self._first_silent = self._first_silent or sample.where
            if not counted:
                yield sample, None
            else:
                yield sample, Tokens(found.ids, cut, {"token_labels": labels})

    def tell(self, splits: list[str]) -> None:
        if self._silent:
            note(
                f"{self._silent:,} word{'s' * (self._silent > 1)} of which the tokenizer makes no token "
                f"left out, with their classes; the first stands in the sentence at {self._first_silent}"
            )

    def summary(self, split: str) -> list[str]:
        return [f"{self._words.get(split, 0):,}"]


def run(options: argparse.Namespace) -> None:
    """Goes through the files twice: first all classes (and all mistakes), then the tokens."""
    inputs = [*options.splits.values(), options.tokenizer, *filter(None, [options.classes])]
    with DatasetFile(options.output, options.force, inputs) as file:
        encoder = TagEncoder(vocabulary := Vocabulary(options.tokenizer), options.max_tokens)
        listed = classes.read_class_list(options.classes) if options.classes else None
        files = {
            split: TaggedFile(path, options.word_column, options.tag_column, options.encoding)
            for split, path in options.splits.items()
        }
        read = {split: _read(held) for split, held in files.items()}
        names, labels = classes.resolve({s: found for s, (found, _) in read.items()}, listed)
        counts = {split: lengths for split, (_, lengths) in read.items()}
        taken = None
        if options.validation_fraction:
            rows = np.zeros(len(counts["train"]), dtype=np.int64)
            taken = classes.validation_rows(rows, options.validation_fraction, options.seed)
        attributes = {
            "task": TOKEN_CLASSIFICATION,
            "classes": names,
            "created_by": created_by("tags"),
            "sources": [{"split": split, **describe(f.path)} for split, f in files.items()],
            "options": _options(options),
            "max_tokens": options.max_tokens,
            **vocabulary.attributes,
        }
        splits = list(files)
        if taken is not None:
            splits.insert(1, "validation")
        total = sum(map(len, counts.values()))
        samples = _samples(files, labels, taken)
        write_language_file(
            file, options.output, encoder, samples, splits, total, attributes,
            f"tagged words, {len(names)} classes", {"token_labels": "<i4"},
        )  # fmt: skip


def _read(file: TaggedFile) -> tuple[Labels, array]:
    """The class of each word, and how many words each sentence has."""
    labels, lengths = Labels(), array("i")
    with Progress(f"reading {file.path}", unit="sentences") as progress:
        for sentence in file.sentences():
            for tag in sentence.tags:
                labels.add(tag, lambda where=sentence.where: where)
            lengths.append(len(sentence.words))
            progress.add(1)
    return labels, lengths


def _samples(
    files: dict[str, TaggedFile], labels: dict[str, np.ndarray], taken: np.ndarray | None
) -> Iterator[Tagged]:
    """The second pass: train's sentences that are `taken` go to validation."""
    for split, file in files.items():
        start = 0
        for number, sentence in enumerate(file.sentences()):
            end = start + len(sentence.words)
            if end > len(labels[split]):
                raise InputError(f"{file.path}: changed while it was read")
            moved = split == "train" and taken is not None and taken[number]
            yield Tagged(
                "validation" if moved else split,
                sentence.words,
                sentence.where,
                labels[split][start:end].tolist(),
            )
            start = end


def _options(options: argparse.Namespace) -> dict:
    kept = {name: getattr(options, name) for name in ("word_column", "tag_column")}
    kept = {name: value for name, value in kept.items() if value}
    if options.validation_fraction:
        kept |= {"validation_fraction": options.validation_fraction, "seed": options.seed}
    return kept
