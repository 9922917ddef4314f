"""`prepare.py wordnet`: name the topic of a WordNet gloss.

The text is a synset's gloss (definition and examples), the class its lexicographer file. Source:
the dictionary files of WordNet 3.0 as Debian's wordnet-base installs them (format: wndb(5WN)).
What a language model learns of them is in language/definitions.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
from collections.abc import Iterator

import h5py
import numpy as np
import tokenizers

from preparation.dataset_file import DatasetFile
from preparation.errors import InputError, note
from preparation.inputs import describe, open_input
from preparation.progress import Progress
from preparation.tasks import CLASSIFICATION, Dense, Resolved
from preparation.text.tokens import Sample, Tokenizer, write_text_file

# Names of the lexicographer files by their number, fixed by lexnames(5WN); the dictionary files
# hold the numbers only.
CLASSES = [
    "adj.all", "adj.pert", "adv.all", "noun.Tops", "noun.act", "noun.animal", "noun.artifact",
    "noun.attribute", "noun.body", "noun.cognition", "noun.communication", "noun.event",
    "noun.feeling", "noun.food", "noun.group", "noun.location", "noun.motive", "noun.object",
    "noun.person", "noun.phenomenon", "noun.plant", "noun.possession", "noun.process",
    "noun.quantity", "noun.relation", "noun.shape", "noun.state", "noun.substance", "noun.time",
    "verb.body", "verb.change", "verb.cognition", "verb.communication", "verb.competition",
    "verb.consumption", "verb.contact", "verb.creation", "verb.emotion", "verb.motion",
    "verb.perception", "verb.possession", "verb.social", "verb.stative", "verb.weather", "adj.ppl",
]  # fmt: skip

_LONGEST, _MOST = 1 << 16, 1 << 20  # bytes of a line, and glosses: several times WordNet's

PARTS = ["noun", "verb", "adj", "adv"]
SPLITS = ["train", "validation", "test"]

# Shares of validation and test; the rest is train.
_VALIDATION, _TEST = 0.05, 0.05


@dataclasses.dataclass
class Gloss:
    """One synset: its place in [0, 1) decides its split (see Note [Split by identity])."""

    where: str
    label: int
    word: str  # the first of the synset's
    text: str
    place: float

    @property
    def split(self) -> str:
        if self.place < 1 - _VALIDATION - _TEST:
            return "train"
        return "validation" if self.place < 1 - _TEST else "test"


# Note [Split by identity]
# A synset is known by its part of speech and its offset in the dictionary file. A hash of these,
# read as a number in [0, 1), is its place: train lies below 0.9, validation below 0.95. So the
# split depends on no seed, order or machine, and --limit, which takes the lowest places of train,
# gives nested subsets: what 10,000 holds, 20,000 holds too.
def place(part: str, offset: str) -> float:
    """Where in [0, 1) the synset at `offset` (8 digits) of `data.PART` lies."""
    digest = hashlib.sha256(f"{part} {offset}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


class Source:
    """The dictionary files that the options name, and the glosses that they choose."""

    def __init__(self, options: argparse.Namespace):
        self._options = options
        self._paths = {part: os.path.join(options.source, f"data.{part}") for part in PARTS}
        missing = [path for path in self._paths.values() if not os.path.exists(path)]
        if missing:
            raise InputError(
                f"{missing[0]}: does not exist: install WordNet's dictionary files (Debian: apt-get "
                "install wordnet-base) or name their folder with --source"
            )
        self.paths = list(self._paths.values())

    def glosses(self) -> list[Gloss]:
        return _chosen(list(_all(self._paths)), self._options)

    def attributes(self) -> dict:
        """What a dataset file keeps of them."""
        limits = {"limit": self._options.limit, "limit_validation": self._options.limit_validation}
        return {
            "created_by": f"Thaw prepare.py wordnet (h5py {h5py.__version__}, "
            f"tokenizers {tokenizers.__version__})",
            "sources": [describe(path) for path in self.paths],
            "options": {name: value for name, value in limits.items() if value},
        }


def run(options: argparse.Namespace) -> None:
    source = Source(options)
    with DatasetFile(options.output, options.force, [*source.paths, options.tokenizer]) as file:
        tokenizer = Tokenizer(options.tokenizer, options.max_tokens)
        glosses = source.glosses()
        labels = {
            split: np.array([g.label for g in glosses if g.split == split], dtype=np.int64)
            for split in SPLITS
        }
        task = Resolved(CLASSIFICATION, {s: Dense(held) for s, held in labels.items()}, CLASSES)
        absent = len(CLASSES) - len(np.unique(labels["train"]))
        if absent:
            note(f"{absent} of {len(CLASSES)} classes have no sample in train")
        samples = (Sample(gloss.split, [gloss.text], gloss.where) for gloss in glosses)
        write_text_file(file, options.output, tokenizer, samples, task, source.attributes())


def _all(paths: dict[str, str]) -> Iterator[Gloss]:
    """Every synset of the four files (25 MB of glosses: they are held in memory)."""
    with Progress("reading WordNet", unit="glosses") as progress:
        for part, path in paths.items():
            with open_input(path) as stream:
                for number, raw in enumerate(iter(lambda: stream.readline(_LONGEST), b""), 1):
                    if not raw.startswith(b"  "):  # so begin the lines of the licence
                        if progress.done >= _MOST:
                            raise InputError(f"{path}:{number}: more glosses than WordNet has")
                        yield _parse(raw, part, f"{path}:{number}")
                        progress.add(1)


def _parse(raw: bytes, part: str, where: str) -> Gloss:
    """`OFFSET LEX_FILENUM SS_TYPE W_CNT WORD … | GLOSS`"""
    try:
        data, text = raw.decode("utf-8").split(" | ", 1)
        offset, number, _, *words = data.split(" ", 5)
        label = int(number)
        right = len(offset) == 8 and len(number) == 2 and text.strip()
        right = right and CLASSES[label].startswith(f"{part}.")
        word = words[1] if len(words) > 1 else ""
    except (ValueError, IndexError):
        right = False
    if not right:
        raise InputError(f"{where}: is no line of a WordNet 3.0 data.{part} (see wndb(5WN))")
    return Gloss(where, label, word.replace("_", " "), text.strip(), place(part, offset))


def _chosen(glosses: list[Gloss], options: argparse.Namespace) -> list[Gloss]:
    """All, or of train and validation those that come first by place, in the files' order."""
    for split, limit in (("train", options.limit), ("validation", options.limit_validation)):
        if limit:
            places = sorted(gloss.place for gloss in glosses if gloss.split == split)
            end = places[limit] if limit < len(places) else 1.0
            glosses = [gloss for gloss in glosses if gloss.split != split or gloss.place < end]
    empty = set(SPLITS) - {gloss.split for gloss in glosses}
    if empty:
        raise InputError(f"{options.source}: holds too few glosses: none for {', '.join(empty)}")
    return glosses
