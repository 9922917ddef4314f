#!/usr/bin/env python3
"""Makes the HDF5 dataset files that Thaw trains on, from texts or images of your own.

Its parts are in launch/preparation/. A mistake in the input ends it with one line on standard
error and status 2, and leaves no file behind; so does an interruption, with the signal's status.
"""

# This file alone is read by whatever Python starts it, so it keeps to what old ones understand;
# the rest runs in one that has the modules, which may be the project's own.

import importlib
import os
import signal
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
OWN_ENVIRONMENT = os.path.join(os.path.dirname(HERE), ".venv")
OLDEST_PYTHON = (3, 10)
STARTED = "THAW_PREPARE_STARTED"  # in the environment of a Python that this file started

# `python -P` and safe paths leave the script's folder out.
sys.path.insert(0, HERE)

MODULES = {
    "text": ["numpy", "h5py", "tokenizers"],
    "wordnet": ["numpy", "h5py", "tokenizers"],
    "images": ["numpy", "h5py"],  # and Pillow, for folders only
}


def start_own_python():
    """Goes on in the project's .venv, if there is one that is not running already."""
    python = os.path.join(OWN_ENVIRONMENT, "bin", "python3")
    running = os.path.realpath(sys.prefix) == os.path.realpath(OWN_ENVIRONMENT)
    if running or STARTED in os.environ or not os.access(python, os.X_OK):
        return
    environment = dict(os.environ)
    environment[STARTED] = "1"
    try:
        os.execve(python, [python, os.path.abspath(__file__)] + sys.argv[1:], environment)
    except OSError:  # a .venv that was moved or is of another machine: go on as without one
        pass


def stop(number, _):
    """Leaves through every `with`, so that temporary files go."""
    raise SystemExit(128 + number)


def prepare(arguments, may_start):
    """Runs the subcommand; raises InputError. `may_start`: another Python may take over, since this
    is the whole program and no caller's."""
    from preparation.command_line import parse
    from preparation.errors import InputError, require
    from preparation.streams import silence_libraries

    options = parse(arguments)
    modules = list(MODULES[options.command])
    if any(os.path.isdir(source) for source in getattr(options, "splits", {}).values()):
        modules.append("PIL")
    try:
        require(*modules)
    except InputError:
        if may_start:
            start_own_python()
        raise
    if may_start:
        silence_libraries()
    parts = {"wordnet": "text.wordnet"}.get(options.command, options.command + ".command")
    importlib.import_module("preparation." + parts).run(options)


def main(arguments=None):
    """The whole command: its exit status."""
    from preparation import streams
    from preparation.errors import InputError, explain, show_warnings

    streams.guard()
    show_warnings()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # not where nohup ignores it
            signal.signal(number, stop)
    try:
        prepare(arguments, may_start=arguments is None)
    except InputError as error:
        streams.say("prepare.py: error: " + streams.shown(str(error)))
        return 2
    except KeyboardInterrupt:
        streams.say("prepare.py: interrupted; nothing was written")
        return 128 + signal.SIGINT
    except SystemExit:
        streams.say("", end="", output=True)  # what --help printed may not get there either
        raise
    except BaseException as error:  # Rust's panics are no Exception
        streams.say("prepare.py: error: " + streams.shown(explain(error)))
        return 2
    return 0


if __name__ == "__main__":
    if sys.version_info < OLDEST_PYTHON:
        start_own_python()
        sys.stderr.write(
            "prepare.py: error: needs Python %d.%d or newer; %s is %d.%d\n"
            % (OLDEST_PYTHON + (sys.executable,) + tuple(sys.version_info[:2]))
        )
        sys.exit(2)
    sys.exit(main())
