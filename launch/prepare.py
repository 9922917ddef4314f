#!/usr/bin/env python3
"""Makes the HDF5 dataset files that Thaw trains on, from texts or images of your own.

Its parts are in launch/preparation/. A mistake in the input ends it with one line on standard
error and status 2, and leaves no file behind; so does an interruption, with the signal's status.
"""

import importlib
import os
import sys

# `python -P` and safe paths leave the script's folder out.
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from preparation import start  # noqa: E402

TEXTS = ["numpy", "h5py", "tokenizers"]
# Subcommand -> the modules it needs, its part.
COMMANDS = {
    "text": (TEXTS, "text.command"),
    "images": (["numpy", "h5py"], "images.command"),  # and Pillow, for folders only
    "completion": (TEXTS, "language.completion"),  # and jinja2, for chat templates only
    "corpus": (TEXTS, "language.corpus"),
    "tags": (TEXTS, "language.tags"),
    "wordnet": (TEXTS, "text.wordnet"),
}


def prepare(arguments, may_start):
    """Runs the subcommand; raises InputError. `may_start` as start.need_modules has it."""
    from preparation.command_line import parse

    options = parse(arguments)
    needed, part = COMMANDS[options.command]
    if getattr(options, "learn", "") == "definitions":
        part = "language.definitions"
    modules = list(needed)
    if any(os.path.isdir(source) for source in getattr(options, "splits", {}).values()):
        modules.append("PIL")
    if getattr(options, "chat", False):
        modules.append("jinja2")
    start.need_modules(__file__, modules, may_start)
    importlib.import_module("preparation." + part).run(options)


def main(arguments=None):
    """The whole command: its exit status."""
    return start.run(__file__, lambda: prepare(arguments, may_start=arguments is None))


if __name__ == "__main__":
    start.exit_with(__file__, main)
