"""What can go wrong with a user's input, said in one line."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterable

from preparation import streams
from preparation.streams import say, shown

# The name by which pip knows a module, where it is another.
PIP_NAMES = {"PIL": "pillow"}


class InputError(Exception):
    """A mistake in the input or the options: what, where, and what to do about it, in one line."""


def note(message: str) -> None:
    """Tells the user something that is not an error."""
    say(f"{streams.program}: note: {shown(message)}")


def show_warnings() -> None:
    """Makes a note of what libraries warn of, in place of two lines about their source."""
    warnings.showwarning = lambda message, *_, **__: note(str(message))


def explain(error: BaseException) -> str:
    """An error that nobody foresaw. THAW_TRACE shows where it comes from."""
    if os.environ.get("THAW_TRACE"):
        traceback.print_exception(error)
    if isinstance(error, MemoryError):
        return "the memory does not suffice for this input"
    return (
        f"cannot handle this input ({type(error).__name__}: {reason(error)}); this is a fault of "
        f"{streams.program}: with THAW_TRACE=1 in the environment it shows where"
    )


def require(*modules: str) -> None:
    """Loads `modules`, or raises InputError with the pip command that installs what is missing."""
    missing = []
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:  # it is there, but something that it needs is not
                raise InputError(f"Python module {module} cannot be loaded: {error}") from error
            missing.append(module)
        except ImportError as error:
            raise InputError(f"Python module {module} cannot be loaded: {error}") from error
    if missing:
        packages = " ".join(PIP_NAMES.get(module, module) for module in missing)
        raise InputError(
            f"missing Python module{'s' * (len(missing) > 1)} {', '.join(missing)} "
            f"(Python is {sys.executable}): {sys.executable} -m pip install {packages}"
        )


def listing(names: Iterable[str], most: int = 12) -> str:
    """`a, b, c`, cut after `most` names."""
    names = list(names)
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def suggestion(wanted: str, names: Iterable[str]) -> str:
    """` (did you mean "text"?)` for the nearest of `names`; empty where none is near."""
    by_folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(wanted.casefold(), by_folded, n=1, cutoff=0.5)
    return f' (did you mean "{by_folded[near[0]]}"?)' if near else ""


def reason(error: BaseException) -> str:
    """Why an operation of the system failed, without Python's or HDF5's wrapping."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
