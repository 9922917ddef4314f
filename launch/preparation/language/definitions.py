"""`prepare.py wordnet --learn definitions`: define a word of WordNet in one of its senses.

The prompt is `WORD (PART OF SPEECH, TOPIC):`, the first word of a synset and its lexicographer file,
which tells senses apart; the completion is the gloss without its examples.
"""

from __future__ import annotations

import argparse
import re

from preparation.dataset_file import DatasetFile
from preparation.errors import InputError
from preparation.language.completion import CompletionEncoder
from preparation.language.file import CAUSAL_LM, write_language_file
from preparation.language.vocabulary import Vocabulary
from preparation.text.tokens import Sample
from preparation.text.wordnet import CLASSES, SPLITS, Gloss, Source

_PARTS = {"noun": "noun", "verb": "verb", "adj": "adjective", "adv": "adverb"}
_UNTOLD = {"all", "Tops"}  # topics that say nothing
_PLACE = re.compile(r"\((a|p|ip)\)$")  # an adjective's: where it stands


def prompt_of(gloss: Gloss) -> str:
    part, topic = CLASSES[gloss.label].split(".")
    sense = _PARTS[part] if topic in _UNTOLD else f"{_PARTS[part]}, {topic}"
    return f"{_PLACE.sub('', gloss.word)} ({sense}):"


def definition_of(gloss: Gloss) -> str:
    return gloss.text.split('; "', 1)[0].strip()


def run(options: argparse.Namespace) -> None:
    source = Source(options)
    with DatasetFile(options.output, options.force, [*source.paths, options.tokenizer]) as file:
        vocabulary = Vocabulary(options.tokenizer)
        end = vocabulary.end_id(None)
        encoder = CompletionEncoder(vocabulary, options.max_tokens, end, join=" ")
        glosses = source.glosses()
        if bare := [gloss.where for gloss in glosses if not gloss.word]:
            raise InputError(f"{bare[0]}: has no word")
        attributes = {
            "task": CAUSAL_LM,
            "end_token": vocabulary.name_of(end),
            **source.attributes(),
            "max_tokens": options.max_tokens,
            **vocabulary.attributes,
        }
        attributes["options"] |= {"learn": "definitions"}
        samples = (
            Sample(gloss.split, [prompt_of(gloss), definition_of(gloss)], gloss.where)
            for gloss in glosses
        )
        write_language_file(
            file, options.output, encoder, samples, SPLITS, len(glosses), attributes,
            "prompts and completions",
        )  # fmt: skip
