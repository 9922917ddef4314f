"""How a table's rows are written: what separates fields, what encloses and escapes them.

The columns that are wanted decide: a separator with which the first row does not name them all is
the wrong one. Quotation marks decide by the whole file: each row has as many fields as the first.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator

from preparation import limits
from preparation.errors import InputError, note

SEPARATORS = (",", ";", "\t", "|")
_LOOKED_AT = 200  # lines
_NAMES = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)  # Excel's first line

# Python's default refuses fields beyond 128 KiB.
csv.field_size_limit(limits.ROW_BYTES)


@dataclasses.dataclass(frozen=True)
class Dialect:
    separator: str
    quote: str | None = '"'  # encloses fields; doubled it is one of the field's characters
    escape: str | None = None  # makes the next character one of the field's
    blanks: bool = False  # whether blanks behind a separator are none of the field's
    skipped: int = 0  # lines before the first row

    def rows(self, lines: Iterator[str], path: str) -> Iterator[tuple[int, list[str]]]:
        """Each row that is no empty line, with the number of its first line."""
        bounded = _Bounded(lines, path)
        for _ in range(self.skipped):
            next(bounded)
        reader = csv.reader(
            bounded,
            delimiter=self.separator,
            quotechar=self.quote or '"',
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            escapechar=self.escape,
            skipinitialspace=self.blanks,
            strict=True,  # else an unbalanced quotation mark silently swallows the rows behind it
        )
        start = 1 + self.skipped
        try:
            for fields in reader:
                if fields:
                    yield start, fields
                start = bounded.start_row()
        except csv.Error as error:
            raise Malformed(start, str(error)) from error

    def describe(self) -> str:
        name = _NAMES.get(self.separator, f'"{self.separator}"')
        quoted = f"enclosed by {self.quote}" if self.quote else 'where " is an ordinary character'
        escaped = f" and escaped by {self.escape}" if self.escape else ""
        blanks = ", blanks before it left out" if self.blanks else ""
        return f"fields are separated by {name}, {quoted}{escaped}{blanks}"


class Malformed(Exception):
    """The row that begins at `line` does not fit the dialect."""

    def __init__(self, line: int, problem: str):
        super().__init__(problem)
        self.line = line


class _Bounded:
    """Lines that are counted; those of one row may not be longer than a row."""

    def __init__(self, lines: Iterator[str], path: str):
        self._lines = lines
        self._path = path
        self._number = 0
        self._start = 1
        self._length = 0

    def __iter__(self) -> _Bounded:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._number += 1
        self._length += len(line)
        if self._length > limits.ROW_BYTES:
            raise InputError(
                f"{self._path}:{self._start}: a row of more than {limits.ROW_BYTES:,} characters: "
                "does a quotation mark not end?"
            )
        return line

    def start_row(self) -> int:
        """The number of the line that comes next."""
        self._start, self._length = self._number + 1, 0
        return self._start


def head_of(fields: list[str]) -> list[str]:
    return [name.strip() for name in fields]


class Sniffer:
    """Finds the dialect of the file whose lines `read` gives, from the start, each time."""

    def __init__(self, path: str, read: Callable[[], Iterator[str]], wanted: list[str]):
        self._path = path
        self._read = read
        self._wanted = wanted

    def find(self, usual: Dialect, fixed: set[str], told: bool) -> Dialect:
        """`usual` where it fits; else the nearest that does; where none does, one for the error
        that its reader meets. `fixed`: fields of it that the user gave. A note says what was found
        where it is not `usual`, or with `told`."""
        usual, announced = self._announced(usual, fixed)
        told = told or announced
        candidates = [
            dataclasses.replace(usual, separator=separator, quote=quote, escape=escape)
            for quote, escape in self._quotations(usual, fixed)
            for separator in self._separators(usual, fixed)
        ]
        named = [dialect for dialect in candidates if self._names_all(dialect)]
        for dialect in named:
            findings = _survey(dialect, self._read, self._path)
            if findings.blanks and "blanks" not in fixed:
                dialect = dataclasses.replace(dialect, blanks=True)
                findings = _survey(dialect, self._read, self._path)
            if findings.fits and ("quote" in fixed or not findings.enclosed):
                self._refuse_doubtful(dialect, findings, fixed)
                if told or dialect != usual:
                    note(f"{self._path}: {dialect.describe()}")
                return dialect
        return named[0] if named else self._nearest(candidates, usual)

    def _announced(self, usual: Dialect, fixed: set[str]) -> tuple[Dialect, bool]:
        """Excel's line `sep=;`."""
        found = _SEPARATOR_LINE.match(next(self._read(), ""))
        if not found or found.group(1) in '"\r\n':
            return usual, False
        separator = usual.separator if "separator" in fixed else found.group(1)
        return dataclasses.replace(usual, separator=separator, skipped=1), True

    def _separators(self, usual: Dialect, fixed: set[str]) -> list[str]:
        if "separator" in fixed:
            return [usual.separator]
        return list(dict.fromkeys((usual.separator, *SEPARATORS)))

    def _quotations(self, usual: Dialect, fixed: set[str]) -> list[tuple[str | None, str | None]]:
        escapes = [usual.escape] if "escape" in fixed else [None, "\\"]
        quotes = [usual.quote] if "quote" in fixed else ['"', None]
        if "quote" not in fixed and self._single_quotes():
            quotes.insert(0, "'")
        return [(quote, escape) for quote in quotes for escape in escapes]

    def _single_quotes(self) -> bool:
        """Whether a field of each of the first lines begins with '."""
        lines = list(itertools.islice(self._read(), 1, _LOOKED_AT))
        fields = re.compile(f"(^|[{re.escape(''.join(SEPARATORS))}]) *'")
        return bool(lines) and all(fields.search(line) for line in lines if line.strip())

    def _head(self, dialect: Dialect) -> list[str]:
        try:
            return head_of(next(dialect.rows(self._read(), self._path), (0, []))[1])
        except Malformed:
            return []

    def _names_all(self, dialect: Dialect) -> bool:
        head = self._head(dialect)
        return all(name in head for name in self._wanted)

    def _nearest(self, candidates: list[Dialect], usual: Dialect) -> Dialect:
        """For the error: the one that takes the first row apart, if any does."""
        best = max(candidates, key=lambda dialect: len(self._head(dialect)), default=usual)
        return usual if len(self._head(usual)) > 1 else best

    def _refuse_doubtful(self, dialect: Dialect, findings: _Findings, fixed: set[str]) -> None:
        """Where lines end within quotation marks, but each line would do as a row by itself, two
        ordinary quotation marks have perhaps swallowed rows."""
        if not findings.lines_within or "quote" in fixed:
            return
        plain = dataclasses.replace(dialect, quote=None)
        other = _survey(plain, self._read, self._path)
        if other.fits and not other.enclosed:
            raise InputError(
                f"{self._path}:{findings.lines_within}: {dialect.quote} encloses the end of a "
                "line, yet every line is a row by itself: give --no-quotes if it is an ordinary "
                f"character in this file, --quote '{dialect.quote}' if it does enclose"
            )


@dataclasses.dataclass
class _Findings:
    """What going through a whole file with a dialect shows."""

    fits: bool  # no row differs from the first in its number of fields, none is malformed
    lines_within: int = 0  # the first row that goes over several lines; 0: none
    blanks: bool = False  # whether quotation marks behind a separator and a blank enclose nothing
    enclosed: bool = False  # whether quotation marks that enclose nothing stand around a field


def fits(dialect: Dialect, read: Callable[[], Iterator[str]], path: str) -> bool:
    """Whether each row of the file has as many fields as the first."""
    return _survey(dialect, read, path).fits


def _survey(dialect: Dialect, read: Callable[[], Iterator[str]], path: str) -> _Findings:
    findings = _Findings(True)
    width = 0
    loose = f" {dialect.quote}" if dialect.quote and not dialect.blanks else None
    try:
        for line, fields in dialect.rows(read(), path):
            for field in fields:
                if loose and field.startswith(loose):
                    findings.blanks = True
                if len(field) > 1 and field[0] == field[-1] == '"' and dialect.quote != '"':
                    findings.enclosed = True
                if "\n" in field or "\r" in field:
                    findings.lines_within = findings.lines_within or line
            width = width or len(fields)
            if len(fields) != width:
                findings.fits = False
                break
    except Malformed:
        findings.fits = False
    return findings
