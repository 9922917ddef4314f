"""How the bytes of a table stand for text: UTF-8 mostly, else what its bytes show, told."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator

from preparation import limits
from preparation.errors import InputError, note
from preparation.inputs import kind_of, open_input

_BLOCK = 1 << 20
_MARKS = [  # the longer first: that of UTF-32 begins like that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
_BAD = re.compile("[\udc80-\udcff]")
_WORD = re.compile(r"[\w\udc80-\udcff]*[\udc80-\udcff][\w\udc80-\udcff]*")
_NO_WINDOWS_1252 = re.compile("[\udc81\udc8d\udc8f\udc90\udc9d]")
_LETTERS = re.compile("[A-Za-z]")
# Of French, the language with the most, 4 % of the letters are outside of ASCII; of others in
# 8 bits, like Russian, nearly all.
_MOST_ACCENTS = 0.25


def detect(path: str, given: str | None) -> str:
    """Python's name of the encoding of `path`; a note says it where it is not UTF-8."""
    if given:
        return given
    with open_input(path) as stream:
        head = stream.read(_BLOCK)
        kind = kind_of(head)
        if kind and (b"\0" in head or kind.startswith(("a web", "a pointer"))):
            raise InputError(f"{path}: is no table; it is {kind}")
        if b"\r" in head and b"\n" not in head:
            note(f"{path}: its lines end with CR alone, as on old Macs; read as such")
        for mark, name in _MARKS:
            if head.startswith(mark):
                if name != "utf-8-sig":
                    note(f"{path}: read as {name.upper()}, as its first bytes say")
                    return name
                head = head[len(mark) :]
        wide = _wide(head)
        if wide:
            note(f"{path}: read as {wide.upper()}: every other byte is 0; --encoding says not")
            return wide
        return _Survey(path).judge(head, stream)


def _wide(head: bytes) -> str:
    """UTF-16 without a mark: letters of ASCII have a zero byte before or behind them."""
    pairs = len(head) // 2
    even, odd = head[0 : 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    if pairs and odd > 0.4 * pairs and not even:
        return "utf-16-le"
    return "utf-16-be" if pairs and even > 0.4 * pairs and not odd else ""


class _Survey:
    """Goes through a file as UTF-8 and counts what is none."""

    def __init__(self, path: str):
        self._path = path
        self._bad = 0
        self._good = 0  # characters outside of ASCII that are UTF-8
        self._letters = 0  # of ASCII, in the blocks with bad bytes
        self._line = 1  # of the first bad byte
        self._byte = ""
        self._word = ""
        self._impossible = False

    def judge(self, head: bytes, stream) -> str:
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        block = head
        while block:
            self._count(decoder.decode(block))
            block = stream.read(_BLOCK)
        self._count(decoder.decode(b"", True))
        if not self._bad:
            return "utf-8-sig"
        if self._good >= self._bad:
            raise InputError(
                f"{self._path}:{self._line}: is not UTF-8 (byte {self._byte}), though the rest of "
                "the file is: this place is damaged"
            )
        accents = self._bad + self._good
        if self._impossible or accents > _MOST_ACCENTS * (accents + self._letters):
            raise InputError(
                f"{self._path}:{self._line}: is not UTF-8 (byte {self._byte}), nor a language of "
                "western Europe in Windows-1252; say what it is with --encoding NAME"
            )
        note(
            f'{self._path}: is not UTF-8; read as Windows-1252, as in "{self._word}" '
            f"(line {self._line}); --encoding NAME says otherwise"
        )
        return "windows-1252"

    def _count(self, text: str) -> None:
        if text.isascii():
            if not self._bad:
                self._line += _line_ends(text)
            return
        bad = len(_BAD.findall(text))
        self._good += len(text) - len(text.encode("ascii", "ignore")) - bad
        if not bad:
            self._line += _line_ends(text) * (not self._bad)
            return
        if not self._bad:
            first = _BAD.search(text)
            self._line += _line_ends(text[: first.start()])
            self._byte = f"0x{ord(first.group()) - 0xDC00:02x}"
            near = text[max(0, first.start() - 20) : first.start() + 20]
            raw = _WORD.search(near).group().encode("utf-8", "surrogateescape")
            self._word = raw.decode("windows-1252", "replace")
        self._bad += bad
        self._letters += len(_LETTERS.findall(text))
        self._impossible = self._impossible or bool(_NO_WINDOWS_1252.search(text))


def _line_ends(text: str) -> int:
    return text.count("\n") or text.count("\r")


def lines(path: str, encoding: str) -> Iterator[str]:
    """The lines with their ends, which are LF, CR LF or CR alone, as of old Macs."""
    number = 0
    with open_input(path) as stream:
        text = io.TextIOWrapper(stream, encoding=encoding, newline="")
        try:
            while line := text.readline(limits.ROW_BYTES):
                number += 1
                if len(line) == limits.ROW_BYTES and line[-1] not in "\r\n":
                    raise InputError(
                        f"{path}:{number}: a line of more than {limits.ROW_BYTES:,} characters"
                    )
                yield line
        except UnicodeError as error:
            raise InputError(
                f"{path}: at line {number + 1} or soon behind it: is no {encoding}: {error}"
            ) from error
        finally:
            text.detach()
