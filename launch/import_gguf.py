#!/usr/bin/env python3
"""Makes a folder of Hugging Face's from a language model in a GGUF file.

  import_gguf.py FILE.gguf DIR

DIR gets config.json, model.safetensors (float32), tokenizer.json and tokenizer_config.json: what
Thaw, transformers and tokenizers load. Its parts are in launch/preparation/models/.
"""

import os
import sys

# `python -P` and safe paths leave the script's folder out.
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from preparation import start  # noqa: E402

MODULES = ["numpy", "tokenizers", "gguf"]


def work(arguments, may_start):
    """Runs the command; raises InputError. `may_start` as start.need_modules has it."""
    from preparation.options import Parser

    parser = Parser(prog="import_gguf.py", description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("source", metavar="FILE.gguf", help="a language model")
    parser.add_argument("folder", metavar="DIR", help="the folder to make")
    options = parser.parse_args(arguments)
    start.need_modules(__file__, MODULES, may_start)
    from preparation.models.import_gguf import import_gguf

    import_gguf(options.source, options.folder)


def main(arguments=None):
    """The whole command: its exit status."""
    return start.run(__file__, lambda: work(arguments, may_start=arguments is None))


if __name__ == "__main__":
    start.exit_with(__file__, main)
