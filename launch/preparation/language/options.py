"""Options of the subcommands for language models."""

from __future__ import annotations

from preparation.options import (
    FILES,
    add_output,
    add_splits,
    add_tokenizer,
    add_writing,
    encoding,
    fraction,
    whole,
)

_TAGGED = (
    "words in columns with an empty line between sentences (CoNLL), or JSON lines with lists "
    "(.jsonl .ndjson .json); each also .gz"
)


def add_end_token(parser) -> None:
    parser.add_argument(
        "--end-token",
        metavar="TOKEN",
        help="what ends a text (default: eos_token of the tokenizer_config.json beside the "
        "tokenizer, or eos_token_id of config.json)",
    )


def add_completion(commands) -> None:
    parser = commands.add_parser(
        "completion",
        help="prompts and what a language model is to answer",
        prog="prepare.py completion",
    )
    add_splits(parser, FILES["text"], has_classes=False)
    parser.add_argument("--prompt-column", required=True, metavar="NAME")
    parser.add_argument("--completion-column", required=True, metavar="NAME")
    parser.add_argument(
        "--join",
        default="",
        metavar="TEXT",
        help="stands before each completion and belongs to it, as ' ' (default: nothing)",
    )
    parser.add_argument(
        "--chat",
        action="store_true",
        help="prompts are a user's messages, completions the answers, written as the chat_template "
        "in the tokenizer_config.json beside the tokenizer says (needs jinja2)",
    )
    add_tokenizer(
        parser,
        512,
        "prompt and completion together: cut longer completions; a prompt that leaves no room "
        "is left out (default: %(default)s)",
    )
    add_end_token(parser)
    add_writing(parser)
    parser.add_argument(
        "--skip-empty",
        action="store_true",
        help="leave out rows whose prompt or completion is empty",
    )
    add_output(parser)


def add_corpus(commands) -> None:
    parser = commands.add_parser(
        "corpus", help="running text for a language model", prog="prepare.py corpus"
    )
    group = parser.add_argument_group("splits", "at least one; F: plain text, also .gz")
    for flag, split in (("--text", "train"), ("--validation", "validation"), ("--test", "test")):
        group.add_argument(flag, nargs="+", metavar="F", help=f"files of the {split} split")
    group.add_argument(
        "--validation-fraction",
        type=fraction,
        metavar="X",
        help="take this share of the documents of --text as validation, at random; of a single "
        "one its end",
    )
    group.add_argument("--seed", type=int, default=0, help="of that choice (default: %(default)s)")
    parser.add_argument(
        "--documents",
        choices=("files", "blank-lines", "lines"),
        default="files",
        help="where a document ends: with its file, at blank lines, or with its line (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--text-column",
        metavar="NAME",
        help="files are CSV, TSV or JSON lines, with a document in this column of each row",
    )
    parser.add_argument("--encoding", type=encoding, metavar="NAME", help="UTF-8, Windows-1252, …")
    parser.add_argument("--tokenizer", required=True, metavar="tokenizer.json")
    parser.add_argument(
        "--length",
        type=whole(2, 1 << 20),
        default=512,
        metavar="N",
        help="tokens of a sample: documents are cut into pieces of so many (default: %(default)s)",
    )
    add_end_token(parser)
    parser.add_argument(
        "--no-end-token", action="store_true", help="put none behind the documents"
    )
    add_output(parser)


def add_tags(commands) -> None:
    parser = commands.add_parser(
        "tags", help="sentences in words with a class each", prog="prepare.py tags"
    )
    add_splits(parser, _TAGGED)
    parser.add_argument(
        "--word-column",
        metavar="N|NAME",
        help="where words stand: a column's number, negative from the end (default: 1), or in JSON "
        "the list's name (default: tokens)",
    )
    parser.add_argument(
        "--tag-column",
        metavar="N|NAME",
        help="where their classes stand (default: -1, the last; in JSON: tags)",
    )
    parser.add_argument("--encoding", type=encoding, metavar="NAME", help="UTF-8, Windows-1252, …")
    add_tokenizer(parser, 128)
    add_output(parser)
