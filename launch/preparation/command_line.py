"""The command line of prepare.py: what it takes, and what each option means."""

from __future__ import annotations

import argparse
import codecs
import csv
import math

from preparation.errors import InputError
from preparation.splits import TABLES, find_splits

DESCRIPTION = """\
Makes the HDF5 dataset files that Thaw trains on.

  prepare.py text    --train train.csv --test test.csv --text-column text --label-column category \\
                     --tokenizer tokenizer.json --max-tokens 32 --output out.h5
  prepare.py images  --train cifar.npz:x_train,y_train --test cifar.npz:x_test,y_test \\
                     --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --output out.h5
  prepare.py wordnet --tokenizer tokenizer.json --output wordnet.h5
"""

FILES = {
    "text": "CSV, TSV or JSON lines, by suffix (.csv .tsv .jsonl .ndjson .json, each also .gz). "
    "Separator, quotation marks and encoding are found out, and told where they are not the usual",
    "images": "file.npz:IMAGES,LABELS naming its two arrays, an IDX pair IMAGES,LABELS (plain or "
    "gzip), or a folder with a folder of image files for each class (links are followed)",
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, like every other error."""

    def error(self, message: str) -> None:
        raise InputError(f"{message} (see {self.prog} --help)")


def whole(least: int, most: int):
    """The type of an option: a number within these."""

    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not within {least:,} to {most:,}")
        return value

    return number


def fraction(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def numbers(text: str) -> list[float]:
    values = [float(value) for value in text.split(",")]
    if not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(f"{text} holds a number that is not finite")
    return values


def names(text: str) -> list[str]:
    """Names between commas; one with a comma in it stands in quotation marks."""
    found = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
    if not found or not all(found):
        raise argparse.ArgumentTypeError(f"{text!r} holds an empty name")
    for name in found:
        if found.count(name) > 1:
            raise argparse.ArgumentTypeError(f'{text!r} names "{name}" {found.count(name)} times')
    return found


def character(text: str) -> str:
    text = "\t" if text == "\\t" else text
    if len(text) != 1 or text in "\r\n\0":
        raise argparse.ArgumentTypeError(f"{text!r} is not one character")
    return text


def encoding(text: str) -> str:
    try:
        found = codecs.lookup(text)
        "".encode(text)
    except (LookupError, ValueError):
        found = None
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no encoding of text that Python knows")
    return found.name


def add_output(parser: Parser) -> None:
    parser.add_argument("--output", required=True, metavar="OUT.h5", help="the file to make")
    parser.add_argument("--force", action="store_true", help="replace OUT.h5 if it exists")


def add_splits(parser: Parser, files: str) -> None:
    group = parser.add_argument_group("splits", f"at least one; F: {files}")
    group.add_argument("--train", metavar="F", help="source of the train split")
    group.add_argument(
        "--validation", "--val", "--valid", "--dev", metavar="F", help="source of validation"
    )
    group.add_argument("--test", metavar="F", help="source of the test split")
    group.add_argument(
        "--splits",
        metavar="DIR",
        help="in place of these: a folder with one for each, named train, validation (or val, "
        "valid, dev) and test",
    )
    group.add_argument(
        "--validation-fraction",
        type=fraction,
        metavar="X",
        help="take this share of train as validation, at random and of each class alike",
    )
    group.add_argument("--seed", type=int, default=0, help="of that choice (default: %(default)s)")
    group.add_argument(
        "--classes",
        metavar="FILE",
        help="class names in the order of their indices, one a line (default: the names that occur "
        "in train, sorted; numbers numerically)",
    )


def add_tokenizer(parser: Parser, longest: int) -> None:
    parser.add_argument("--tokenizer", required=True, metavar="tokenizer.json")
    parser.add_argument(
        "--max-tokens",
        type=whole(1, 1 << 20),
        default=longest,
        metavar="N",
        help="cut longer texts, special tokens kept (default: %(default)s)",
    )


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


def add_writing(parser: Parser) -> None:
    group = parser.add_argument_group("how tables are written", "found out where not given")
    group.add_argument("--separator", type=character, metavar="C", help="between fields")
    group.add_argument("--quote", type=character, metavar="C", help="around fields")
    group.add_argument(
        "--no-quotes", action="store_true", help='take " in CSV and TSV as an ordinary character'
    )
    group.add_argument(
        "--escape", type=character, metavar="C", help="before a character of a field, as \\"
    )
    group.add_argument("--encoding", type=encoding, metavar="NAME", help="UTF-8, Windows-1252, …")


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
        "wordnet", help="WordNet's glosses and their 45 topics", prog="prepare.py wordnet"
    )
    parser.add_argument(
        "--source",
        default="/usr/share/wordnet",
        metavar="DIR",
        help="holds data.noun, data.verb, data.adj, data.adv (default: %(default)s)",
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
    for add in (add_text, add_images, add_wordnet):
        add(commands)
    options = parser.parse_args(arguments)
    if options.command != "wordnet":
        options.splits = _splits(options)
        if options.validation_fraction:
            if "train" not in options.splits or "validation" in options.splits:
                raise InputError(
                    "--validation-fraction takes from --train, in place of --validation"
                )
    if options.command == "text":
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
        return find_splits(options.splits, TABLES if options.command == "text" else None)
    if not splits:
        raise InputError("give at least one of --train, --validation and --test, or --splits")
    return splits


def _check_writing(options: argparse.Namespace) -> None:
    if options.no_quotes and options.quote:
        raise InputError("--quote and --no-quotes: give one of them")
    marks = [mark for mark in (options.separator, options.quote, options.escape) if mark]
    if len(set(marks)) < len(marks) or (options.separator == '"' and not options.quote):
        raise InputError("--separator, --quote and --escape: must be different characters")
