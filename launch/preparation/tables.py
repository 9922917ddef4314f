"""Rows of CSV, TSV and JSON lines: a text and a label each, in constant memory."""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
from collections.abc import Iterator

from preparation.errors import InputError, listing, suggestion
from preparation.inputs import check_readable, open_input

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_JSON_LINES = (".jsonl", ".ndjson", ".json")

# Python's default refuses fields beyond 128 KiB; a C long is the most that it takes.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


@dataclasses.dataclass
class Columns:
    """How to find a text and a label in a row."""

    text: str
    label: str
    separator: str | None = None  # None: by the file's suffix
    quotes: bool = True  # whether "…" encloses a field of CSV and TSV
    skip_empty: bool = False  # leave rows out whose text or label is empty, instead of an error


@dataclasses.dataclass
class Row:
    line: int  # where the row starts, from 1
    text: str
    label: str


class Table:
    """One file; `rows` can be gone through again and gives the same again."""

    def __init__(self, path: str, columns: Columns):
        check_readable(path)
        self.path = path
        self.skipped = 0  # rows left out in the last pass
        self._columns = columns
        name = path.lower()
        name = name[:-3] if name.endswith(".gz") else name
        suffix = name[name.rfind(".") :] if "." in name else ""
        self._json = suffix in _JSON_LINES
        self._separator = columns.separator or _SEPARATORS.get(suffix)
        if not self._json and not self._separator:
            kinds = ", ".join([*_SEPARATORS, *_JSON_LINES])
            raise InputError(f"{path}: suffix must be one of {kinds}, or give --separator")

    def where(self, row: Row) -> str:
        return f"{self.path}:{row.line}"

    def rows(self) -> Iterator[Row]:
        """Each row that has both text and label; raises InputError with file and line."""
        self.skipped = 0
        count = 0
        for row in self._json_rows() if self._json else self._separated_rows():
            count += 1
            empty = [
                column
                for column, value in (
                    (self._columns.text, row.text),
                    (self._columns.label, row.label),
                )
                if not value or value.isspace()
            ]
            if not empty:
                yield row
            elif self._columns.skip_empty:
                self.skipped += 1
            else:
                raise InputError(
                    f'{self.where(row)}: "{empty[0]}" is empty (--skip-empty leaves such rows out)'
                )
        if count == self.skipped:
            raise InputError(f"{self.path}: has no rows" + (" left" if count else ""))

    def _lines(self) -> Iterator[str]:
        """Decodes line by line, so that an error can name the line."""
        with open_input(self.path) as stream:
            for number, raw in enumerate(stream, 1):
                try:
                    line = raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    wide = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
                    kind = "it looks like UTF-16" if wide else f"byte 0x{raw[error.start]:02x}"
                    raise InputError(
                        f"{self.path}:{number}: is not UTF-8 ({kind}); convert it: "
                        f"iconv -f {'UTF-16' if wide else 'WINDOWS-1252'} -t UTF-8"
                    ) from error
                yield line[1:] if number == 1 and line.startswith("\ufeff") else line

    def _separated_rows(self) -> Iterator[Row]:
        reader = csv.reader(
            self._lines(),
            delimiter=self._separator,
            quoting=csv.QUOTE_MINIMAL if self._columns.quotes else csv.QUOTE_NONE,
            strict=True,  # else an unbalanced quotation mark silently swallows the rows behind it
        )
        start = 1
        head: list[str] = []
        try:
            for fields in reader:
                if not fields:
                    pass  # an empty line
                elif not head:
                    head = [name.strip() for name in fields]
                    text, label = (
                        self._find(head, self._columns.text),
                        self._find(head, self._columns.label),
                    )
                elif len(fields) != len(head):
                    raise InputError(
                        f"{self.path}:{start}: has {len(fields)} fields, the head has {len(head)} "
                        "(a text with a separator in it must stand in quotation marks)"
                    )
                else:
                    yield Row(start, fields[text], fields[label].strip())
                start = reader.line_num + 1
        except csv.Error as error:
            raise InputError(
                f"{self.path}:{start}: {error} (if quotation marks are ordinary characters in this "
                "file, give --no-quotes)"
            ) from error
        if not head:
            raise InputError(f"{self.path}: is empty; a head with column names is needed")

    def _find(self, head: list[str], column: str) -> int:
        if head.count(column) > 1:
            raise InputError(f'{self.path}: {head.count(column)} columns are named "{column}"')
        if column not in head:
            raise InputError(
                f'{self.path}: has no column "{column}"; it has: {listing(head)}'
                + suggestion(column, head)
            )
        return head.index(column)

    def _json_rows(self) -> Iterator[Row]:
        for number, line in enumerate(self._lines(), 1):
            if not line.strip():
                continue
            where = f"{self.path}:{number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{where}: is not JSON: {error} (one object a line)") from error
            if not isinstance(row, dict):
                raise InputError(f"{where}: is a JSON {_kind(row)}; one object a line is needed")
            text = self._text(row, where)
            yield Row(number, text, self._label(row, where))

    def _field(self, row: dict, column: str, where: str):
        if column not in row:
            raise InputError(
                f'{where}: has no "{column}"; it has: {listing(row)}{suggestion(column, row)}'
            )
        return row[column]

    def _text(self, row: dict, where: str) -> str:
        text = self._field(row, self._columns.text, where)
        if text is None:
            return ""
        if not isinstance(text, str):
            raise InputError(f'{where}: "{self._columns.text}" is a {_kind(text)}; text is needed')
        return _valid(text, where)

    def _label(self, row: dict, where: str) -> str:
        label = self._field(row, self._columns.label, where)
        if label is None or label != label:  # NaN stands for a missing value
            return ""
        if isinstance(label, bool):
            return "true" if label else "false"
        if isinstance(label, float) and label.is_integer():  # integers beside missing values
            return str(int(label))
        if not isinstance(label, (str, int, float)):
            raise InputError(
                f'{where}: "{self._columns.label}" is a {_kind(label)}; a name or a number is '
                "needed"
            )
        return _valid(str(label), where).strip()


def _valid(text: str, where: str) -> str:
    """JSON can hold half a surrogate pair, which is no text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: holds half a surrogate pair: {error.reason}") from error
    return text


def _kind(value) -> str:
    kinds = {dict: "object", list: "list", str: "text", bool: "truth value", type(None): "null"}
    return kinds.get(type(value), "number")
