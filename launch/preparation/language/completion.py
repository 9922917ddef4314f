"""`prepare.py completion`: prompts and what a model is to answer; the loss is of the answer alone."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator

import numpy as np
import tokenizers

from preparation import classes
from preparation.dataset_file import DatasetFile
from preparation.errors import InputError, note
from preparation.inputs import describe
from preparation.language.chat import ChatTemplate
from preparation.language.file import CAUSAL_LM, created_by, write_language_file
from preparation.language.vocabulary import Vocabulary, bytes_of
from preparation.progress import Progress
from preparation.text.tables import Columns, Table, Writing
from preparation.text.tokens import Sample, Tokens, check_lengths


@dataclasses.dataclass
class Told:
    """Samples of a split that a note is about."""

    first: str  # where it stands
    count: int = 0


class CompletionEncoder:
    """Makes samples of prompts and completions: `prefix prompt completion end`, at most `longest`
    tokens.

    Prompt and completion are tokenized apart, so that a prompt has the tokens that it will have
    when the model is asked. Of a completion that does not fit its end is cut off, and with it the
    end token, which would teach to end there. A prompt that leaves no room is left out.
    """

    splits_have = ("prompt_lengths", "bytes")
    columns = ("counted", "left out")

    def __init__(
        self,
        vocabulary: Vocabulary,
        longest: int,
        end: int,
        template: ChatTemplate | None = None,
        join: str = "",
    ):
        self._vocabulary = vocabulary
        self._longest = longest
        self._end = end
        self._template = template
        self._join = join
        self._left_out: dict[str, Told] = {}
        self._cut: dict[str, Told] = {}
        self._counted: dict[str, int] = {}
        self._together = 0
        self._samples = 0

    def encode(self, samples: list[Sample]) -> Iterator[tuple[Sample, Tokens | None]]:
        check_lengths(samples)
        texts = [self._texts(sample) for sample in samples]
        where = samples[0].where
        fronts = self._vocabulary.encode([front for front, _ in texts], where)
        backs = self._vocabulary.encode([back for _, back in texts], where)
        for sample, front, back, (_, completion) in zip(samples, fronts, backs, texts):
            yield sample, self._tokens(sample, front, back, completion)

    def _texts(self, sample: Sample) -> tuple[str, str]:
        prompt, completion = sample.texts
        completion = self._join + completion
        self._samples += 1
        if self._template:
            return self._template.both(prompt, completion, sample.where)
        self._together += not prompt[-1:].isspace() and not completion[:1].isspace()
        return prompt, completion

    def _tokens(
        self,
        sample: Sample,
        front: tokenizers.Encoding,
        back: tokenizers.Encoding,
        text: str,
    ) -> Tokens | None:
        prompt = self._vocabulary.prompt_ids(front)
        answer, sizes = self._without_end(back, text)
        room = self._longest - len(prompt)
        cut = len(answer) >= room
        ids = [*prompt, *(answer[: max(room, 0)] if cut else [*answer, self._end])]
        first = max(len(prompt), 1)  # of what counts: nothing comes before a text's first token
        if len(ids) <= first:
            self._left_out.setdefault(sample.split, Told(sample.where)).count += 1
            return None
        if cut:
            self._cut.setdefault(sample.split, Told(sample.where)).count += 1
        self._counted[sample.split] = self._counted.get(sample.split, 0) + len(ids) - first
        counted = sizes[first - len(prompt) : len(ids) - len(prompt)]
        of_sample = {"prompt_lengths": len(prompt), "bytes": sum(counted)}
        return Tokens(ids, cut, of_sample=of_sample)

    def _without_end(self, back: tokenizers.Encoding, text: str) -> tuple[list[int], list[int]]:
        """A completion's tokens and the bytes that each stands for, without the end token and the
        blanks behind it that a template or the table itself has."""
        ids, spans = back.ids, back.offsets
        if self._end in ids:
            last = len(ids) - 1 - ids[::-1].index(self._end)
            if not text[spans[last][1] :].strip():
                return ids[:last], bytes_of(spans[:last], text[: spans[last][0]])
        return ids, bytes_of(spans, text)

    def tell(self, splits: list[str]) -> None:
        """Notes on what was left out or cut, and what is probably not meant."""
        for split in splits:
            if left := self._left_out.get(split):
                note(
                    f"{split}: {left.count:,} sample{'s' * (left.count > 1)} left out: their prompt alone has "
                    f"{self._longest:,} tokens or more (--max-tokens); the first is {left.first}"
                )
            if cut := self._cut.get(split):
                note(
                    f"{split}: {cut.count:,} completion{'s' * (cut.count > 1)} cut: with their prompt they have more than "
                    f"{self._longest:,} tokens (--max-tokens); the first is {cut.first}"
                )
        if self._samples and self._together == self._samples:
            note(
                "no prompt ends and no completion begins with a blank, so their texts touch; "
                "--join ' ' puts one between them"
            )

    def summary(self, split: str) -> list[str]:
        left = self._left_out.get(split)
        return [f"{self._counted.get(split, 0):,}", f"{left.count if left else 0:,}"]


def run(options: argparse.Namespace) -> None:
    """Goes through the tables twice: first all mistakes, then the tokens."""
    columns = Columns(
        [options.prompt_column, options.completion_column], [], skip_empty=options.skip_empty
    )
    quote = "" if options.no_quotes else options.quote
    writing = Writing(options.separator, quote, options.escape, options.encoding)
    inputs = [*options.splits.values(), options.tokenizer]
    with DatasetFile(options.output, options.force, inputs) as file:
        vocabulary = Vocabulary(options.tokenizer)
        end = vocabulary.end_id(options.end_token)
        template = ChatTemplate(vocabulary) if options.chat else None
        encoder = CompletionEncoder(vocabulary, options.max_tokens, end, template, options.join)
        tables = {split: Table(path, columns, writing) for split, path in options.splits.items()}
        counts = {split: _count(table) for split, table in tables.items()}
        taken = None
        if options.validation_fraction:
            rows = np.zeros(counts["train"], dtype=np.int64)
            taken = classes.validation_rows(rows, options.validation_fraction, options.seed)
        attributes = {
            "task": CAUSAL_LM,
            "end_token": vocabulary.name_of(end),
            "created_by": created_by("completion"),
            "sources": [
                {"split": split, **describe(table.path)} for split, table in tables.items()
            ],
            "options": _options(options),
            "max_tokens": options.max_tokens,
            **vocabulary.attributes,
        }
        splits = list(tables)
        if taken is not None:
            splits.insert(1, "validation")
        samples = _samples(tables, counts, taken)
        write_language_file(
            file, options.output, encoder, samples, splits, sum(counts.values()), attributes,
            "prompts and completions",
        )  # fmt: skip


def _count(table: Table) -> int:
    with Progress(f"reading {table.path}", unit="rows") as progress:
        for _ in table.rows():
            progress.add(1)
    if table.skipped:
        note(f"{table.path}: {table.skipped:,} rows without prompt or completion left out")
    return progress.done


def _samples(
    tables: dict[str, Table], counts: dict[str, int], taken: np.ndarray | None
) -> Iterator[Sample]:
    """The second pass: train's rows that are `taken` go to validation."""
    for split, table in tables.items():
        number = 0
        for number, row in enumerate(table.rows(), 1):
            if number > counts[split]:
                break
            moved = split == "train" and taken is not None and taken[number - 1]
            yield Sample("validation" if moved else split, row.texts, table.where(row))
        table.unchanged.check()
        if number != counts[split]:
            raise InputError(f"{table.path}: changed while it was read")


def _options(options: argparse.Namespace) -> dict:
    """What, besides the sources, decided the content."""
    names = ("prompt_column", "completion_column", "join", "chat", "end_token", "skip_empty")
    kept = {name: getattr(options, name) for name in names if getattr(options, name)}
    if options.validation_fraction:
        kept |= {"validation_fraction": options.validation_fraction, "seed": options.seed}
    return kept
