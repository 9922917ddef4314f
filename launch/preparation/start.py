"""How a script of launch/ starts: in a Python that has the modules, with streams that hold, and
with an end that is one line and a status.

A mistake in the input ends it with one line on standard error and status 2; so does an interruption,
with the signal's status.
"""

# This file and the scripts alone are read by whatever Python starts them, so they keep to what old
# ones understand; the rest runs in one that has the modules, which may be the project's own.

import os
import signal
import sys

_OLDEST_PYTHON = (3, 10)
_STARTED = "THAW_PREPARE_STARTED"  # in the environment of a Python that this file started


def start_own_python(script):
    """Goes on in the project's .venv, if there is one that is not running already."""
    own = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(script))), ".venv")
    python = os.path.join(own, "bin", "python3")
    running = os.path.realpath(sys.prefix) == os.path.realpath(own)
    if running or _STARTED in os.environ or not os.access(python, os.X_OK):
        return
    environment = dict(os.environ)
    environment[_STARTED] = "1"
    try:
        os.execve(python, [python, os.path.abspath(script)] + sys.argv[1:], environment)
    except OSError:  # a .venv that was moved or is of another machine: go on as without one
        pass


def need_modules(script, modules, may_start):
    """Raises InputError where a module is missing. `may_start`: another Python may take over, since
    this is the whole program and no caller's."""
    from preparation.errors import InputError, require
    from preparation.streams import silence_libraries

    try:
        require(*modules)
    except InputError:
        if may_start:
            start_own_python(script)
        raise
    if may_start:
        silence_libraries()


def _stop(number, _):
    """Leaves through every `with`, so that temporary files go."""
    raise SystemExit(128 + number)


def run(script, work):
    """The whole command: calls `work`; its exit status."""
    from preparation import streams
    from preparation.errors import InputError, explain, show_warnings

    streams.program = os.path.basename(script)
    streams.guard()
    show_warnings()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # not where nohup ignores it
            signal.signal(number, _stop)
    try:
        work()
    except InputError as error:
        streams.say(streams.program + ": error: " + streams.shown(str(error)))
        return 2
    except KeyboardInterrupt:
        streams.say(streams.program + ": interrupted; nothing was written")
        return 128 + signal.SIGINT
    except SystemExit:
        streams.say("", end="", output=True)  # what --help printed may not get there either
        raise
    except BaseException as error:  # Rust's panics are no Exception
        streams.say(streams.program + ": error: " + streams.shown(explain(error)))
        return 2
    return 0


def exit_with(script, main):
    """Ends this process with what `main` returns; says so where this Python is too old for it."""
    if sys.version_info < _OLDEST_PYTHON:
        start_own_python(script)
        sys.stderr.write(
            "%s: error: needs Python %d.%d or newer; %s is %d.%d\n"
            % ((os.path.basename(script),) + _OLDEST_PYTHON + (sys.executable,)
               + tuple(sys.version_info[:2]))
        )
        sys.exit(2)
    sys.exit(main())
