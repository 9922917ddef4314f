#!/usr/bin/env python3
"""Makes tokens of prompts for `thaw generate` and `output.samples`, which start it.

  tokenize_prompts.py TOKENIZER [--chat] <prompts.json

Reads a JSON list of texts; prints a JSON object: `prompts` (of each its tokens, as `prepare.py
completion` has them), `ends` (tokens that end a text), `pieces` (of each token its bytes, in
hexadecimal digits), `identity` (what tells the tokenizer, as data files have it). Its parts are in launch/preparation/language/.
"""

import json
import os
import sys

# `python -P` and safe paths leave the script's folder out.
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from preparation import start  # noqa: E402

IDENTITY = ("tokenizer_sha256", "tokenizer_function")


def tokenize(path, prompts, chat):
    """What is printed."""
    from preparation.errors import InputError
    from preparation.language.chat import ChatTemplate
    from preparation.language.vocabulary import Vocabulary

    vocabulary = Vocabulary(path)
    template = ChatTemplate(vocabulary) if chat else None
    found = []
    for prompt in prompts:
        text = template.prompt(prompt, "the prompt") if template else prompt
        ids = vocabulary.prompt_ids(vocabulary.encode([text], "the prompt")[0])
        if not ids:
            raise InputError("%s: makes no token of the prompt %r" % (path, prompt))
        found.append(ids)
    pieces = [piece.hex() for piece in vocabulary.pieces()]
    return {
        "prompts": found,
        "ends": vocabulary.end_ids(),
        "pieces": pieces,
        "identity": {name: vocabulary.attributes[name] for name in IDENTITY},
    }


def work(arguments, may_start):
    """Runs the command; raises InputError. `may_start` as start.need_modules has it."""
    from preparation.options import Parser

    parser = Parser(prog="tokenize_prompts.py", description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("tokenizer", metavar="TOKENIZER", help="tokenizer.json")
    parser.add_argument("--chat", action="store_true", help="as a user's message to the model")
    options = parser.parse_args(arguments)
    modules = ["numpy", "h5py", "tokenizers"] + ["jinja2"] * options.chat
    start.need_modules(__file__, modules, may_start)
    prompts = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    sys.stdout.write(json.dumps(tokenize(options.tokenizer, prompts, options.chat)))


def main(arguments=None):
    """The whole command: its exit status."""
    return start.run(__file__, lambda: work(arguments, may_start=arguments is None))


if __name__ == "__main__":
    start.exit_with(__file__, main)
