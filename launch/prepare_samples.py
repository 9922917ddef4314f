#!/usr/bin/env python3
"""Makes a data file of the texts or images that `thaw predict` is given, which starts it.

  prepare_samples.py REQUEST.json OUTPUT.h5

REQUEST.json says what the network was trained on and what is given (it is written by
launch/predict/given_samples.cpp). Prints a JSON object a sample: what is shown of it beside its
prediction. Its parts are in launch/preparation/given/ and, the same as for prepare.py, beside that.
"""

import importlib
import json
import os
import sys

# `python -P` and safe paths leave the script's folder out.
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from preparation import start  # noqa: E402


def work(arguments, may_start):
    """Runs the command; raises InputError. `may_start` as start.need_modules has it."""
    from preparation.options import Parser

    parser = Parser(prog="prepare_samples.py", description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("request", metavar="REQUEST", help="JSON")
    parser.add_argument("output", metavar="OUTPUT", help="the HDF5 file")
    options = parser.parse_args(arguments)
    with open(options.request, encoding="utf-8") as file:
        request = json.load(file)
    images = "images" in request
    start.need_modules(
        __file__, ["numpy", "h5py", "PIL" if images else "tokenizers"], may_start
    )
    part = importlib.import_module("preparation.given." + ("images" if images else "texts"))
    for said in part.prepare(request, options.output):
        sys.stdout.write(json.dumps(said, ensure_ascii=False) + "\n")


def main(arguments=None):
    """The whole command: its exit status."""
    return start.run(__file__, lambda: work(arguments, may_start=arguments is None))


if __name__ == "__main__":
    start.exit_with(__file__, main)
