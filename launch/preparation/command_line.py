"""The command line of prepare.py: what it takes, and what each option means."""

from __future__ import annotations

import argparse

from preparation.errors import InputError
from preparation.language.options import add_completion, add_corpus, add_tags
from preparation.options import (
    FILES,
    Parser,
    add_output,
    add_splits,
    add_tokenizer,
    add_writing,
    names,
    numbers,
    whole,
)
from preparation.splits import TABLES, TAGGED, find_splits

DESCRIPTION = """\
Makes the HDF5 dataset files that Thaw trains on.

  prepare.py text    --train train.csv --test test.csv --text-column text --label-column category \\
                     --tokenizer tokenizer.json --max-tokens 32 --output out.h5
  prepare.py images  --train cifar.npz:x_train,y_train --test cifar.npz:x_test,y_test \\
                     --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --output out.h5
  prepare.py completion --train train.csv --prompt-column question --completion-column answer \\
                     --tokenizer tokenizer.json --max-tokens 256 --output out.h5
  prepare.py corpus  --text book.txt --length 512 --tokenizer tokenizer.json --output out.h5
  prepare.py tags    --train train.conll --tokenizer tokenizer.json --output out.h5
  prepare.py wordnet --tokenizer tokenizer.json --output wordnet.h5
"""

# Of files that --splits finds; images are in folders.
_SUFFIXES = {"text": TABLES, "completion": TABLES, "tags": TAGGED}


def add_labels(parser: Parser) -> None:
    group = parser.add_argument_group("what is to be learnt", "classes, or numbers")
    group.add_argument("--label-column", metavar="NAME", help="one class a text: names or integers")
    group.add_argument(
        "--label-separator",
        metavar="S",
        help="several classes a text: S separates the names in --label-column, which may be empty "
        "(JSON: a list)",
    )
    group.add_argument(
        "--label-columns",
        type=names,
        metavar="A,B,…",
        help="several classes a text: columns of 0 and 1",
    )
    group.add_argument("--target-column", metavar="NAME", help="a number to be predicted")
    group.add_argument("--target-columns", type=names, metavar="X,Y,…", help="several numbers")


def add_text(commands) -> None:
    parser = commands.add_parser(
        "text", help="texts, or pairs of texts, with classes or numbers", prog="prepare.py text"
    )
    add_splits(parser, FILES["text"])
    parser.add_argument("--text-column", required=True, metavar="NAME")
    parser.add_argument(
        "--pair-column",
        metavar="NAME",
        help="a second text, joined to the first as the tokenizer's template says",
    )
    parser.add_argument(
        "--no-types",
        action="store_true",
        help="of pairs: do not keep which of the two texts a token is from, for networks that "
        "know no such types (RoBERTa, DistilBERT, ModernBERT)",
    )
    add_labels(parser)
    add_tokenizer(parser, 128)
    add_writing(parser)
    parser.add_argument(
        "--skip-empty", action="store_true", help="leave out rows whose text or label is empty"
    )
    add_output(parser)


def add_images(commands) -> None:
    parser = commands.add_parser(
        "images", help="images with a label each", prog="prepare.py images"
    )
    add_splits(parser, FILES["images"])
    for flag, what in (("--mean", "subtracted from"), ("--std", "then divides")):
        parser.add_argument(
            flag,
            type=numbers,
            metavar="R,G,B",
            help=f"a value a channel, {what} the inputs. In units of 0 to 1: bytes are divided "
            "by 255 before, float inputs taken as they are. Stored as an attribute, for Thaw to "
            "apply; the inputs stay what they are",
        )
    parser.add_argument(
        "--task",
        choices=("classification", "multi-label", "regression"),
        help="what array labels are (default: integers or names classification, 0 and 1 of shape "
        "[N, C] multi-label, real numbers [N] or [N, K] regression)",
    )
    parser.add_argument(
        "--target-names", type=names, metavar="X,Y,…", help="of a regression's numbers"
    )
    parser.add_argument(
        "--size",
        type=whole(1, 8192),
        metavar="N",
        help="folders: scale the shorter side to N, crop NxN",
    )
    parser.add_argument(
        "--rgb", action="store_true", help="make three equal channels of greyscale images"
    )
    parser.add_argument(
        "--layout",
        choices=("NCHW", "NHWC"),
        help="of 4-dimensional arrays, where sizes do not tell",
    )
    add_output(parser)


def add_wordnet(commands) -> None:
    parser = commands.add_parser(
        "wordnet", help="WordNet's glosses: their 45 topics, or what they define", prog="prepare.py wordnet"
    )
    parser.add_argument(
        "--source",
        default="/usr/share/wordnet",
        metavar="DIR",
        help="holds data.noun, data.verb, data.adj, data.adv (default: %(default)s)",
    )
    parser.add_argument(
        "--learn",
        choices=("topics", "definitions"),
        default="topics",
        help="topics: a gloss's class; definitions: a language model's, of a word in one of its "
        "senses (default: %(default)s)",
    )
    add_tokenizer(parser, 64)
    for flag, split in (("--limit", "train"), ("--limit-validation", "validation")):
        parser.add_argument(
            flag,
            type=whole(1, 1 << 30),
            metavar="N",
            help=f"keep N glosses of {split}, always the same",
        )
    add_output(parser)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="prepare.py",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (add_text, add_images, add_completion, add_corpus, add_tags, add_wordnet):
        add(commands)
    options = parser.parse_args(arguments)
    if options.command not in ("wordnet", "corpus"):
        options.splits = _splits(options)
        if options.validation_fraction:
            if "train" not in options.splits or "validation" in options.splits:
                raise InputError(
                    "--validation-fraction takes from --train, in place of --validation"
                )
    if options.command in ("text", "completion"):
        _check_writing(options)
    return options


def _splits(options: argparse.Namespace) -> dict[str, str]:
    given = {name: getattr(options, name) for name in ("train", "validation", "test")}
    splits = {name: source for name, source in given.items() if source is not None}
    for name, source in splits.items():
        if not source:
            raise InputError(f"--{name}: names no file")
    if options.splits is not None:
        if splits:
            raise InputError("--splits stands in place of --train, --validation and --test")
        return find_splits(options.splits, _SUFFIXES.get(options.command))
    if not splits:
        raise InputError("give at least one of --train, --validation and --test, or --splits")
    return splits


def _check_writing(options: argparse.Namespace) -> None:
    if options.no_quotes and options.quote:
        raise InputError("--quote and --no-quotes: give one of them")
    marks = [mark for mark in (options.separator, options.quote, options.escape) if mark]
    if len(set(marks)) < len(marks) or (options.separator == '"' and not options.quote):
        raise InputError("--separator, --quote and --escape: must be different characters")
