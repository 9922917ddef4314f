"""Texts to token ids with a tokenizer.json of Hugging Face, and their place in a dataset file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator

import numpy as np
import tokenizers

from preparation import limits
from preparation.dataset_file import SLAB_BYTES, DatasetFile
from preparation.errors import InputError, note, reason
from preparation.inputs import describe, kind_of, read_whole
from preparation.progress import Progress, file_size, tell_result
from preparation.tasks import Dense, Flags, Resolved, write_labels

# One call of the tokenizer. Small enough for Ctrl-C and for texts of megabytes.
_BATCH_TEXTS = 1024
_BATCH_CHARACTERS = 1 << 20

_LARGEST_ID = 2**31 - 1  # `tokens` is int32
_LARGEST_TYPE = 127  # `types` is int8


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
    types: list[int]  # of pairs, a token: which of the two texts it is from, as the template says
    cut: bool


class Tokenizer:
    """A tokenizer.json with truncation to `longest` tokens (special ones kept) and no padding.

    `pairs`: samples are two texts, joined as the file's template says; the longer is cut first.
    """

    def __init__(self, path: str, longest: int, pairs: bool = False):
        content = read_whole(path)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(content.decode("utf-8"))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # plain Exception, and a panic of Rust's is not even that
            kind = kind_of(content)
            raise InputError(
                f"{path}: is no tokenizer.json: {f'it is {kind}' if kind else reason(error)}"
            ) from error
        self._path = path
        self._check_ids()
        self.pairs = pairs
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
        source = describe(path)
        self.attributes = {
            "tokenizer": source["file"],
            "tokenizer_sha256": source["sha256"],
            "tokenizer_function": _function_of(content),
            "max_tokens": longest,
            "vocabulary_size": self._tokenizer.get_vocab_size(),
        }

    def _check_ids(self) -> None:
        vocabulary = self._tokenizer.get_vocab()
        token = max(vocabulary, key=vocabulary.get, default=None)
        if token is not None and vocabulary[token] > _LARGEST_ID:
            raise InputError(
                f'{self._path}: gives "{token}" the id {vocabulary[token]:,}; {_LARGEST_ID:,} is '
                "the largest that can be kept"
            )

    def encode(self, samples: list[Sample]) -> Iterator[tuple[Sample, Tokens]]:
        """Each sample with its tokens."""
        for sample in samples:
            if sum(map(len, sample.texts)) > limits.TEXT:
                raise InputError(
                    f"{sample.where}: a text of more than {limits.TEXT:,} characters, of which "
                    "--max-tokens keeps the fewest: cut it"
                )
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
            types = encoding.type_ids if self.pairs else []
            if types and not 0 <= max(types) <= _LARGEST_TYPE:
                raise InputError(
                    f"{sample.where}: the tokenizer gives a token the type {max(types)}; 0 to "
                    f"{_LARGEST_TYPE} can be kept"
                )
            yield sample, Tokens(ids, types, bool(encoding.overflowing))


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
    """

    def __init__(self, folder: str, pairs: bool):
        self._spool = tempfile.TemporaryFile(dir=folder)
        self._types = tempfile.TemporaryFile(dir=folder) if pairs else None
        self._lengths = array("i")
        self._cut = 0

    def append(self, tokens: Tokens) -> None:
        self._spool.write(array("i", tokens.ids))
        if self._types:
            self._types.write(bytes(tokens.types))
        self._lengths.append(len(tokens.ids))
        self._cut += tokens.cut

    @property
    def bytes(self) -> int:
        """What `write` will take on disk."""
        return (5 if self._types else 4) * self._tokens() + 8 * len(self._lengths)

    def write(self, file: DatasetFile, split: str, labels: Dense | Flags) -> None:
        """Moves everything into `file`: `tokens`, `types` of pairs, `offsets` and `labels`."""
        for name, spool, dtype in (("tokens", self._spool, "<i4"), ("types", self._types, "|i1")):
            if not spool:
                continue
            array = file.array(split, name, dtype, [self._tokens()])
            spool.seek(0)
            while block := spool.read(SLAB_BYTES):
                array.append(np.frombuffer(block, dtype=dtype))
            spool.close()
        offsets = np.zeros(len(self._lengths) + 1, dtype=np.int64)
        np.cumsum(self._lengths, out=offsets[1:])
        file.array(split, "offsets", "<i8", [len(offsets)]).append(offsets)
        write_labels(file, split, labels)

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


def tokenize(
    tokenizer: Tokenizer, samples: Iterable[Sample], splits: list[str], total: int, folder: str
) -> dict[str, TokenSplit]:
    """Tokenizes all samples, a batch at a time, into one spool a split in `folder`."""
    try:
        spools = {split: TokenSplit(folder, tokenizer.pairs) for split in splits}
        with Progress("tokenizing", total) as progress:
            for batch in _batches(samples):
                for sample, tokens in tokenizer.encode(batch):
                    try:
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
    return spools


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
    spools = tokenize(tokenizer, samples, list(labels), total, file.folder)
    held = [*spools.values(), *labels.values()]
    file.check_space(sum(array.bytes for array in held))
    rows = []
    for split, spool in spools.items():
        rows.append([split, *spool.summary()])
        spool.write(file, split, labels[split])
    size = file.commit({"kind": "text", **task.attributes, **attributes, **tokenizer.attributes})
    what = "text pairs" if tokenizer.pairs else "text"
    head = ["split", "samples", "tokens", "median", "longest", "truncated"]
    tell_result(output, f"{what}, {task.summary}, {file_size(size)}", head, rows)


def _batches(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
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
