"""Texts to token ids with a tokenizer.json of Hugging Face, and their place in a dataset file."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from array import array
from collections.abc import Iterable, Iterator

import numpy as np
import tokenizers

from preparation.dataset_file import SLAB_BYTES, DatasetFile
from preparation.errors import InputError, reason
from preparation.inputs import check_readable, describe
from preparation.progress import Progress, file_size, table

# One call of the tokenizer. Small enough for Ctrl-C and for texts of megabytes.
_BATCH_TEXTS = 1024
_BATCH_CHARACTERS = 4 << 20


@dataclasses.dataclass
class Sample:
    """A text on its way into a split."""

    split: str
    text: str
    where: str  # to be named in an error


class Tokenizer:
    """A tokenizer.json with truncation to `longest` tokens (special ones kept) and no padding."""

    def __init__(self, path: str, longest: int):
        check_readable(path)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(path)
        except Exception as error:  # the library raises plain Exception
            raise InputError(f"{path}: is no tokenizer.json: {reason(error)}") from error
        special = self._tokenizer.num_special_tokens_to_add(False)
        if longest <= special:  # the library would silently not truncate at all
            raise InputError(
                f"--max-tokens {longest}: leaves no room for text, since this tokenizer adds "
                f"{special} special tokens"
            )
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
            "max_tokens": longest,
            "vocabulary_size": self._tokenizer.get_vocab_size(),
        }

    def encode(self, samples: list[Sample]) -> Iterator[tuple[Sample, list[int], bool]]:
        """Each sample with its token ids and whether it was cut."""
        encodings = self._encode([sample.text for sample in samples])
        for sample, encoding in zip(samples, encodings):
            ids = encoding.ids
            if not ids:
                raise InputError(f"{sample.where}: the tokenizer makes no token of this text")
            yield sample, ids, bool(encoding.overflowing)


class TokenSplit:
    """The tokens of one split, kept in an unnamed file until their number is known.

    A contiguous dataset needs its size when it is made, and tokens need not fit into memory.
    """

    def __init__(self, folder: str):
        self._spool = tempfile.TemporaryFile(dir=folder)
        self._lengths = array("i")
        self._cut = 0

    def append(self, ids: list[int], cut: bool) -> None:
        self._spool.write(array("i", ids))
        self._lengths.append(len(ids))
        self._cut += cut

    @property
    def bytes(self) -> int:
        """What `write` will take on disk."""
        return 4 * self._tokens() + 16 * len(self._lengths)

    def write(self, file: DatasetFile, split: str, labels: np.ndarray) -> None:
        """Moves everything into `file`: `tokens`, `offsets` and `labels` of `split`."""
        tokens = file.array(split, "tokens", "<i4", [self._tokens()])
        self._spool.seek(0)
        while block := self._spool.read(SLAB_BYTES):
            tokens.append(np.frombuffer(block, dtype=np.int32))
        self._spool.close()
        offsets = np.zeros(len(self._lengths) + 1, dtype=np.int64)
        np.cumsum(self._lengths, out=offsets[1:])
        file.array(split, "offsets", "<i8", [len(offsets)]).append(offsets)
        file.array(split, "labels", "<i8", [len(self._lengths)]).append(labels)

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
        spools = {split: TokenSplit(folder) for split in splits}
        with Progress("tokenizing", total) as progress:
            for batch in _batches(samples):
                for sample, ids, cut in tokenizer.encode(batch):
                    spools[sample.split].append(ids, cut)
                progress.add(len(batch))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {reason(error)}") from error
    return spools


def write_text_file(
    file: DatasetFile,
    output: str,
    tokenizer: Tokenizer,
    samples: Iterable[Sample],
    labels: dict[str, np.ndarray],
    attributes: dict,
) -> None:
    """Tokenizes `samples`, whose labels per split are known in their order, into `file`; commits
    it and prints what it holds."""
    total = sum(len(values) for values in labels.values())
    spools = tokenize(tokenizer, samples, list(labels), total, file.folder)
    file.check_space(sum(spool.bytes for spool in spools.values()))
    rows = []
    for split, spool in spools.items():
        rows.append([split, *spool.summary()])
        spool.write(file, split, labels[split])
    size = file.commit({"kind": "text", **attributes, **tokenizer.attributes})
    print(f"{output}: text, {len(attributes['classes'])} classes, {file_size(size)}")
    print(table(["split", "samples", "tokens", "median", "longest", "truncated"], rows))


def _batches(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    samples = iter(samples)
    while first := next(samples, None):
        batch = [first]
        characters = len(first.text)
        for sample in itertools.islice(samples, _BATCH_TEXTS - 1):
            batch.append(sample)
            characters += len(sample.text)
            if characters > _BATCH_CHARACTERS:
                break
        yield batch
