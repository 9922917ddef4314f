"""Texts to token ids with a tokenizer.json of Hugging Face, and their place in a dataset file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import tokenizers

from preparation import limits
from preparation.dataset_file import SLAB_BYTES, DatasetFile
from preparation.errors import InputError, note, reason
from preparation.inputs import describe, kind_of, read_whole
from preparation.progress import Progress, file_size, tell_result
from preparation.tasks import Resolved, write_labels

# One call of the tokenizer. Small enough for Ctrl-C and for texts of megabytes.
_BATCH_TEXTS = 1024
_BATCH_CHARACTERS = 1 << 20

_LARGEST_ID = 2**31 - 1  # `tokens` is int32
_LARGEST_TYPE = 127  # `types` is int8
_CODES = {"<i4": "i", "|i1": "b"}  # of types of numpy, in Python's arrays


@dataclasses.dataclass
class Sample:
    """A text, or a pair of texts, on its way into a split."""

    split: str
    texts: list[str]
    where: str  # to be named in an error


@dataclasses.dataclass
class Tokens:
    """What the tokenizer made of a sample."""

    ids: list[int]
    cut: bool
    # By name, a value a token: of pairs `types`, which of the two texts the token is from, as the
    # template says.
    beside: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    of_sample: dict[str, int] = dataclasses.field(default_factory=dict)  # by name


def load_tokenizer(path: str) -> tuple[tokenizers.Tokenizer, dict]:
    """The tokenizer in a tokenizer.json, and what a dataset file's attributes say of it."""
    content = read_whole(path)
    try:
        tokenizer = tokenizers.Tokenizer.from_str(content.decode("utf-8"))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # plain Exception, and a panic of Rust's is not even that
        kind = kind_of(content)
        raise InputError(
            f"{path}: is no tokenizer.json: {f'it is {kind}' if kind else reason(error)}"
        ) from error
    vocabulary = tokenizer.get_vocab()
    token = max(vocabulary, key=vocabulary.get, default=None)
    if token is not None and vocabulary[token] > _LARGEST_ID:
        raise InputError(
            f'{path}: gives "{token}" the id {vocabulary[token]:,}; {_LARGEST_ID:,} is '
            "the largest that can be kept"
        )
    source = describe(path)
    return tokenizer, {
        "tokenizer": source["file"],
        "tokenizer_sha256": source["sha256"],
        "tokenizer_function": _function_of(content),
        "vocabulary_size": tokenizer.get_vocab_size(),
    }


def check_lengths(samples: Sequence[Sample]) -> None:
    """Refuses texts that would take too much memory on their way to tokens."""
    for sample in samples:
        if sum(map(len, sample.texts)) > limits.TEXT:
            raise InputError(
                f"{sample.where}: a text of more than {limits.TEXT:,} characters, of which "
                "--max-tokens keeps the fewest: cut it"
            )


class Tokenizer:
    """A tokenizer.json with truncation to `longest` tokens (special ones kept) and no padding.

    `pairs`: samples are two texts, joined as the file's template says; the longer is cut first.
    `types`: of pairs, which of the two texts a token is from.
    """

    def __init__(self, path: str, longest: int, pairs: bool = False, types: bool = True):
        self._tokenizer, self.attributes = load_tokenizer(path)
        self._path = path
        self.pairs = pairs
        self.types = pairs and types
        special = self._tokenizer.num_special_tokens_to_add(pairs)
        if longest <= special:  # the library would silently not truncate at all
            raise InputError(
                f"--max-tokens {longest}: leaves no room for text, since this tokenizer adds "
                f"{special} special tokens"
            )
        if pairs and not special:
            note(f"{path}: joins two texts with nothing between them")
        # What the file itself says about both is for its first user's model (MiniLM's: pad to 128).
        truncation = self._tokenizer.truncation or {}
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(longest, direction=truncation.get("direction", "right"))
        # The fast form leaves character offsets out; the ids are the same.
        self._encode = getattr(self._tokenizer, "encode_batch_fast", self._tokenizer.encode_batch)
        self.attributes["max_tokens"] = longest
        if pairs:
            self.attributes["pairs"] = "with types" if types else "without types"

    def encode(self, samples: list[Sample]) -> Iterator[tuple[Sample, Tokens]]:
        """Each sample with its tokens."""
        check_lengths(samples)
        try:
            encodings = self._encode(
                [tuple(sample.texts) if self.pairs else sample.texts[0] for sample in samples]
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # as above
            raise InputError(
                f"{self._path}: fails on texts from {samples[0].where} on: {reason(error)}"
            ) from error
        for sample, encoding in zip(samples, encodings):
            ids = encoding.ids
            if not ids:
                raise InputError(f"{sample.where}: the tokenizer makes no token of this text")
            types = encoding.type_ids if self.types else []
            if types and not 0 <= max(types) <= _LARGEST_TYPE:
                raise InputError(
                    f"{sample.where}: the tokenizer gives a token the type {max(types)}; 0 to "
                    f"{_LARGEST_TYPE} can be kept"
                )
            beside = {"types": types} if self.types else {}
            yield sample, Tokens(ids, bool(encoding.overflowing), beside)


def _function_of(content: bytes) -> str:
    """SHA-256 of what in a tokenizer.json decides a text's tokens: equal for the file as another
    program has written it again, or has it cut and pad texts."""
    value = json.loads(content)
    cut = value.pop("truncation", None) or {}
    value = {key: value[key] for key in value if key not in ("padding", "version")}
    value["direction"] = str(cut.get("direction", "right")).lower()
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class TokenSplit:
    """The tokens of one split, kept in an unnamed file until their number is known.

    A contiguous dataset needs its size when it is made, and tokens need not fit into memory.
    `beside`: names and types of what each token has beside its id; `of_samples`: names of a whole
    number (int32) that each sample has.
    """

    def __init__(
        self, folder: str, beside: dict[str, str] | None = None, of_samples: Sequence[str] = ()
    ):
        self._types = {"tokens": "<i4", **(beside or {})}
        self._spools = {name: tempfile.TemporaryFile(dir=folder) for name in self._types}
        self._lengths = array("i")
        self._of_samples = {name: array("i") for name in of_samples}
        self._cut = 0

    def append(self, tokens: Tokens) -> None:
        for name, values in (("tokens", tokens.ids), *tokens.beside.items()):
            self._spools[name].write(array(_CODES[self._types[name]], values))
        for name, held in self._of_samples.items():
            held.append(tokens.of_sample[name])
        self._lengths.append(len(tokens.ids))
        self._cut += tokens.cut

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def bytes(self) -> int:
        """What `write` will take on disk."""
        a_token = sum(np.dtype(dtype).itemsize for dtype in self._types.values())
        return a_token * self._tokens() + (8 + 4 * len(self._of_samples)) * len(self._lengths)

    def write(self, file: DatasetFile, split: str) -> None:
        """Moves everything into `file`: `tokens` and what they have beside them, `offsets`, and
        what samples have."""
        for name, dtype in self._types.items():
            held = file.array(split, name, dtype, [self._tokens()])
            spool = self._spools[name]
            spool.seek(0)
            while block := spool.read(SLAB_BYTES):
                held.append(np.frombuffer(block, dtype=dtype))
            spool.close()
        offsets = np.zeros(len(self._lengths) + 1, dtype=np.int64)
        np.cumsum(self._lengths, out=offsets[1:])
        file.array(split, "offsets", "<i8", [len(offsets)]).append(offsets)
        for name, values in self._of_samples.items():
            file.array(split, name, "<i4", [len(values)]).append(np.asarray(values))

    def summary(self) -> list[str]:
        """Columns of the closing table: samples, tokens, median, longest, truncated."""
        lengths = np.asarray(self._lengths)
        return [
            f"{len(lengths):,}",
            f"{self._tokens():,}",
            f"{np.median(lengths):g}",
            f"{lengths.max()}",
            f"{100 * self._cut / len(lengths):.1f} %",
        ]

    def _tokens(self) -> int:
        return int(np.sum(self._lengths, dtype=np.int64))


class Encoder(Protocol):
    """What makes tokens of samples: None of one that is left out."""

    def encode(self, samples: list[Sample]) -> Iterator[tuple[Sample, Tokens | None]]: ...


def tokenize(
    encoder: Encoder,
    samples: Iterable[Sample],
    spools: dict[str, TokenSplit],
    total: int | None,
    folder: str,
) -> None:
    """Tokenizes all samples, a batch at a time, each into the spool of its split, in `folder`."""
    try:
        with Progress("tokenizing", total) as progress:
            for batch in batches(samples):
                for sample, tokens in encoder.encode(batch):
                    try:
                        if tokens:
                            spools[sample.split].append(tokens)
                    except OverflowError as error:  # a special token's, which no vocabulary has
                        raise InputError(
                            f"{sample.where}: the tokenizer gives a token the id "
                            f"{max(tokens.ids):,}; {_LARGEST_ID:,} is the largest that can be kept"
                        ) from error
                progress.add(len(batch))
    except OSError as error:
        raise InputError(
            f"{os.path.dirname(folder)}: cannot be written: {reason(error)}"
        ) from error


def write_text_file(
    file: DatasetFile,
    output: str,
    tokenizer: Tokenizer,
    samples: Iterable[Sample],
    task: Resolved,
    attributes: dict,
) -> None:
    """Tokenizes `samples`, whose labels per split are known in their order, into `file`; commits
    it and prints what it holds."""
    labels = task.labels
    total = sum(len(values) for values in labels.values())
    beside = {"types": "|i1"} if tokenizer.types else {}
    spools = {split: TokenSplit(file.folder, beside) for split in labels}
    tokenize(tokenizer, samples, spools, total, file.folder)
    held = [*spools.values(), *labels.values()]
    file.check_space(sum(array.bytes for array in held))
    rows = []
    for split, spool in spools.items():
        rows.append([split, *spool.summary()])
        spool.write(file, split)
        write_labels(file, split, labels[split])
    size = file.commit({"kind": "text", **task.attributes, **attributes, **tokenizer.attributes})
    what = "text pairs" if tokenizer.pairs else "text"
    head = ["split", "samples", "tokens", "median", "longest", "truncated"]
    tell_result(output, f"{what}, {task.summary}, {file_size(size)}", head, rows)


def batches(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    """A long text goes alone: what the tokenizer keeps of a batch is many times its size."""
    batch: list[Sample] = []
    characters = 0
    for sample in samples:
        length = sum(map(len, sample.texts))
        if batch and (len(batch) == _BATCH_TEXTS or characters + length > _BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(sample)
        characters += length
    if batch:
        yield batch
