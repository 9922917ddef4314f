"""Texts that `thaw predict` is given, made tokens of as `prepare.py text` and `tags` do it."""

from __future__ import annotations

import itertools
import os
import re
import sys
from collections.abc import Iterator

from preparation import limits
from preparation.dataset_file import DatasetFile
from preparation.errors import InputError
from preparation.given import labels
from preparation.language.file import TOKEN_CLASSIFICATION
from preparation.language.tags import NOT_COUNTED, TagEncoder, Tagged
from preparation.language.vocabulary import Vocabulary
from preparation.text import encoding
from preparation.text.tables import Columns, Table, Writing
from preparation.text.tokens import Sample, Tokenizer, TokenSplit, batches

# Words of a sentence that nobody has split: as corpora with classes of words have them, with signs
# by themselves.
_WORDS = re.compile(r"\w+(?:[-'’.]\w+)*|[^\w\s]")
_NO_CUT = 1 << 20  # tokens: where training tells of none; the network's own bound holds
_STANDARD_INPUT = "standard input"
_BLOCK = 1 << 20


def prepare(request: dict, output: str) -> Iterator[dict]:
    """Writes the data file; yields what is shown of each sample."""
    most = request["max_tokens"] or _NO_CUT
    tags = request["task"] == TOKEN_CLASSIFICATION
    with DatasetFile(output) as file:
        if tags:
            vocabulary = Vocabulary(request["tokenizer"])
            encoder = TagEncoder(vocabulary, most)
            attributes = {**vocabulary.attributes, "max_tokens": most}
            beside = {"token_labels": "<i4"}
        else:
            pairs = request["pairs"]
            encoder = Tokenizer(request["tokenizer"], most, pairs, pairs and request["types"])
            attributes = encoder.attributes
            beside = {"types": "|i1"} if encoder.types else {}
        spool = TokenSplit(file.folder, beside)
        shown = []
        for batch in batches(map(_tagged if tags else _plain, _given(request, file.folder))):
            for sample, tokens in encoder.encode(batch):
                if tokens is None:
                    raise InputError(f"{sample.where}: the tokenizer makes no token of this text")
                shown.append(_shown(sample, tokens))
                spool.append(tokens)
        if not shown:
            raise InputError(f"{_name(request)}: holds no text")
        spool.write(file, labels.SPLIT)
        if not tags:
            labels.write(file, request, len(shown))
        file.commit({"kind": "text", **labels.attributes(request), **attributes})
    yield from shown


class _Words(Tagged):
    """A sentence's words, each with its number in the place of a class, and the sentence."""

    text = ""


def _plain(given: tuple[list[str], str]) -> Sample:
    return Sample(labels.SPLIT, *given)


def _tagged(given: tuple[list[str], str]) -> Sample:
    (text,), where = given
    words = _WORDS.findall(text)
    if not words:
        raise InputError(f"{where}: has no words")
    sample = _Words(labels.SPLIT, words, where, list(range(len(words))))
    sample.text = text
    return sample


def _shown(sample: Sample, tokens) -> dict:
    """What stands beside the prediction; of words, which of the tokens is the first of each."""
    shown: dict = {"text": sample.texts[0]}
    if isinstance(sample, _Words):
        shown["text"] = sample.text
        numbers = tokens.beside["token_labels"]
        first = {word: at for at, word in enumerate(numbers) if word != NOT_COUNTED}
        shown["words"] = [
            {"word": word, "token": first.get(number)} for number, word in enumerate(sample.texts)
        ]
        tokens.beside["token_labels"] = [min(number, 0) for number in numbers]
    elif len(sample.texts) > 1:
        shown["text_pair"] = sample.texts[1]
    if tokens.cut:
        shown["truncated"] = True
    return shown


def _name(request: dict) -> str:
    name = request.get("file", "--text")
    return _STANDARD_INPUT if name == "-" else name


def _given(request: dict, folder: str) -> Iterator[tuple[list[str], str]]:
    """The texts of each sample, and where they stand."""
    if "texts" in request:
        for number, texts in enumerate(request["texts"], 1):
            yield texts, f"--text (number {number})"
    elif request["file"] == "-":
        path = os.path.join(folder, "standard-input")
        json_lines = _spool(path)
        try:
            yield from (
                _of_table(path + ".jsonl", request) if json_lines else _of_lines(path, request)
            )
        except InputError as error:
            text = str(error).replace(path + ".jsonl", _STANDARD_INPUT)
            raise InputError(text.replace(path, _STANDARD_INPUT)) from error
    elif request["file"].lower().removesuffix(".gz").endswith(".txt"):
        yield from _of_lines(request["file"], request)
    else:
        yield from _of_table(request["file"], request)


def _spool(path: str) -> bool:
    """Standard input as a file, since a table is read more than once; whether it is JSON lines,
    which then end in .jsonl."""
    with open(path, "xb") as file:
        head = sys.stdin.buffer.read(_BLOCK)
        file.write(head)
        while block := sys.stdin.buffer.read(_BLOCK):
            file.write(block)
    if not head.strip():
        raise InputError(f"{_STANDARD_INPUT}: holds no text")
    json_lines = head.lstrip().startswith(b"{")
    if json_lines:
        os.rename(path, path + ".jsonl")
    return json_lines


def _of_lines(path: str, request: dict) -> Iterator[tuple[list[str], str]]:
    if request["pairs"]:
        raise InputError(
            f"{path}: holds a text a line, and this network was trained on pairs of texts: give a "
            "table or JSON lines with both (text, text_pair)"
        )
    name = encoding.detect(path, None)
    for number, line in enumerate(encoding.lines(path, name), 1):
        if not line.isspace():
            limits.check_samples(path, number)
            yield [line.rstrip("\r\n")], f"{path}:{number}"


def _of_table(path: str, request: dict) -> Iterator[tuple[list[str], str]]:
    text, pair = request["columns"]
    columns = [text or "text", *([pair or "text_pair"] if request["pairs"] else [])]
    try:
        table = Table(path, Columns(columns, []), Writing())
        rows = table.rows()
        first = next(rows)
    except InputError as error:
        lacks = re.search(r'has no (?:column )?"', str(error))
        flags = "and --pair-column name" if request["pairs"] else "names"
        advice = f"; --text-column {flags} the column" if lacks else ""
        raise InputError(f"{error}{advice}") from error
    for row in itertools.chain([first], rows):
        yield row.texts, table.where(row)
    table.unchanged.check()
