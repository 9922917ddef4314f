"""What the options of several subcommands share: their types, and groups of them."""

from __future__ import annotations

import argparse
import codecs
import csv
import math

from preparation.errors import InputError

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


def add_splits(parser: Parser, files: str, has_classes: bool = True) -> None:
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
        help="take this share of train as validation, at random"
        + " and of each class alike" * has_classes,
    )
    group.add_argument("--seed", type=int, default=0, help="of that choice (default: %(default)s)")
    if not has_classes:
        return
    group.add_argument(
        "--classes",
        metavar="FILE",
        help="class names in the order of their indices, one a line (default: the names that occur "
        "in train, sorted; numbers numerically)",
    )


def add_tokenizer(
    parser: Parser,
    longest: int,
    cuts: str = "cut longer texts, special tokens kept (default: %(default)s)",
) -> None:
    parser.add_argument("--tokenizer", required=True, metavar="tokenizer.json")
    parser.add_argument(
        "--max-tokens",
        type=whole(1, 1 << 20),
        default=longest,
        metavar="N",
        help=cuts,
    )


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
