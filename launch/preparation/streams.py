"""Standard output and standard error, which may be closed, full or gone, and names shown on them.

What cannot be said is dropped: a file that was made stays made.
"""

from __future__ import annotations

import contextlib
import os
import sys

program = "prepare.py"  # what speaks; set when a script starts


def guard() -> None:
    """Opens /dev/null where a standard stream is closed, or the dataset file would take its number
    and get what libraries print."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is this one
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not a caller's own
            stream.reconfigure(errors="backslashreplace")  # a name may be no text at all


def silence_libraries() -> None:
    """Keeps standard error for this program: libtiff and others print there what they also report
    as an error. THAW_TRACE in the environment lets them."""
    if os.environ.get("THAW_TRACE") or sys.stderr is not sys.__stderr__ or sys.stderr is None:
        return
    own = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    sys.stderr = open(own, "w", encoding=sys.stderr.encoding, errors="backslashreplace")


def say(text: str, end: str = "\n", output: bool = False) -> bool:
    """Prints on standard error (`output`: on standard output); whether that worked."""
    stream = sys.stdout if output else sys.stderr
    try:
        stream.write(text + end)
        stream.flush()
    except UnicodeError:  # a terminal of another encoding
        return say(text.encode("ascii", "backslashreplace").decode(), end, output)
    except (OSError, ValueError, AttributeError):  # full or gone; closed; None
        _discard(stream)
        return False
    return True


def _discard(stream) -> None:
    """Else Python tries once more at its end, and changes the exit status when it fails."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def shown(text: str, most: int = 4000) -> str:
    """`text`, cut to `most` characters, as it may stand on a terminal in one line: escaped are
    control characters, marks that turn the direction of writing, and bytes that are no UTF-8."""
    if len(text) > most:
        text = f"{text[: most // 2]} … {text[-most // 2 :]}"
    return "".join(map(_shown, text)) if not text.isprintable() else text


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # how Python keeps a byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
