"""Rows of CSV, TSV and JSON lines: the fields of some columns, in constant memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from preparation import limits
from preparation.errors import InputError, listing, note, suggestion
from preparation.inputs import Unchanged, check_readable
from preparation.text import encoding
from preparation.text.dialect import Dialect, Malformed, Sniffer, fits, head_of
from preparation.text.json_object import JsonObject, read_json_line

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_LIST_HINT = " (jq -c '.[]' makes lines of a list)"
_JSON_LINES = (".jsonl", ".ndjson", ".json")


@dataclasses.dataclass
class Columns:
    """How to find a row's texts and labels."""

    texts: list[str]
    labels: list[str]
    may_be_empty: list[str] = dataclasses.field(default_factory=list)  # of labels
    lists: bool = False  # whether JSON may have a list of names in the last of labels
    skip_empty: bool = False  # leave rows out with an empty field, instead of an error


@dataclasses.dataclass
class Writing:
    """How the files are written, where the user says it; None: to be found out."""

    separator: str | None = None
    quote: str | None = None  # "": none at all
    escape: str | None = None
    encoding: str | None = None


@dataclasses.dataclass
class Row:
    line: int  # where the row starts, from 1
    texts: list[str]
    labels: list[str | list[str]]


class Table:
    """One file; `rows` can be gone through again and gives the same again."""

    def __init__(self, path: str, columns: Columns, writing: Writing):
        check_readable(path)
        self.path = path
        self.unchanged = Unchanged([path])
        self.skipped = 0  # rows left out in the last pass
        self._columns = columns
        name = path.lower()
        name = name[:-3] if name.endswith(".gz") else name
        suffix = name[name.rfind(".") :] if "." in name else ""
        self._encoding = encoding.detect(path, writing.encoding)
        start = next((line for line in self._lines() if not line.isspace()), "").lstrip()
        self._json = suffix in _JSON_LINES or (
            suffix not in _SEPARATORS and not writing.separator and start.startswith("{")
        )
        if self._json and suffix not in _JSON_LINES:
            note(f"{path}: read as JSON lines")
        self._dialect = None
        if not self._json:
            self._dialect = self._sniff(suffix, writing)

    def _sniff(self, suffix: str, writing: Writing) -> Dialect:
        usual = Dialect(
            writing.separator or _SEPARATORS.get(suffix, ","),
            '"' if writing.quote is None else writing.quote or None,
            writing.escape,
        )
        given = ("separator", "quote", "escape")
        fixed = {name for name in given if getattr(writing, name) is not None}
        wanted = [*self._columns.texts, *self._columns.labels]
        told = suffix not in _SEPARATORS and "separator" not in fixed
        return Sniffer(self.path, self._lines, wanted).find(usual, fixed, told)

    def where(self, row: Row) -> str:
        return f"{self.path}:{row.line}"

    def rows(self) -> Iterator[Row]:
        """Each row that has all its texts and labels; raises InputError with file and line."""
        self.skipped = 0
        count = 0
        for row in self._json_rows() if self._json else self._separated_rows():
            count += 1
            if count > limits.SAMPLES:
                limits.check_samples(self.where(row), count)
            empty = self._empty(row)
            if empty is None:
                yield row
            elif self._columns.skip_empty:
                self.skipped += 1
            else:
                nulls = ", null or NaN" if self._json else ""
                raise InputError(
                    f'{self.where(row)}: "{empty}" is empty{nulls} '
                    "(--skip-empty leaves such rows out)"
                )
        if count == self.skipped:
            raise InputError(f"{self.path}: has no rows" + (" left" if count else ""))

    def _empty(self, row: Row) -> str | None:
        """The first column that has nothing in this row."""
        columns = self._columns
        for name, value in zip([*columns.texts, *columns.labels], [*row.texts, *row.labels]):
            if name not in columns.may_be_empty and (not value or value.isspace()):
                return name
        return None

    def _lines(self) -> Iterator[str]:
        return encoding.lines(self.path, self._encoding)

    def _separated_rows(self) -> Iterator[Row]:
        head: list[str] = []
        try:
            for line, fields in self._dialect.rows(self._lines(), self.path):
                if not head:
                    head = head_of(fields)
                    texts = [self._find(head, name) for name in self._columns.texts]
                    labels = [self._find(head, name) for name in self._columns.labels]
                elif len(fields) != len(head):
                    raise InputError(
                        f"{self.path}:{line}: has {len(fields)} fields, the head has {len(head)} "
                        "(a text with a separator in it must stand in quotation marks; "
                        f"{self._dialect.describe()})"
                    )
                elif len(head) > 1 and head_of([fields[0].lstrip("\ufeff"), *fields[1:]]) == head:
                    raise InputError(
                        f"{self.path}:{line}: is the head again, as where files were joined: "
                        "remove this line"
                    )
                else:
                    yield Row(
                        line,
                        [fields[index] for index in texts],
                        [fields[index].strip() for index in labels],
                    )
        except Malformed as error:
            plain = dataclasses.replace(self._dialect, quote=None)
            advice = ""
            if self._dialect.quote and fits(plain, self._lines, self.path):
                advice = " (if quotation marks are ordinary characters here, give --no-quotes)"
            raise InputError(
                f"{self.path}:{error.line}: {error}; {self._dialect.describe()}{advice}"
            ) from error
        if not head:
            raise InputError(f"{self.path}: is empty; a head with column names is needed")

    def _find(self, head: list[str], column: str) -> int:
        if head.count(column) > 1:
            raise InputError(f'{self.path}: {head.count(column)} columns are named "{column}"')
        if column not in head:
            hint = suggestion(column, head)
            if head[0].startswith(("{", "[")):
                hint = " (JSON lines? name it .jsonl)"
            elif len(head) == 1 and (not hint or column in head[0]):
                hint = " (if something else separates its fields, give --separator)"
            raise InputError(
                f'{self.path}: has no column "{column}"; it has: {listing(head)}{hint}'
            )
        return head.index(column)

    def _json_rows(self) -> Iterator[Row]:
        for number, line in enumerate(self._lines(), 1):
            if not line.strip():
                continue
            where = f"{self.path}:{number}"
            try:
                row = read_json_line(line)
            except (ValueError, RecursionError) as error:
                hint = _LIST_HINT if line.lstrip().startswith("[") else ""
                raise InputError(
                    f"{where}: is not JSON: {error} (one object a line){hint}"
                ) from error
            if not isinstance(row, dict):
                hint = _LIST_HINT if isinstance(row, list) else ""
                raise InputError(
                    f"{where}: is a JSON {_kind(row)}; one object a line is needed{hint}"
                )
            yield Row(
                number,
                [self._text(row, name, where) for name in self._columns.texts],
                [self._label(row, name, where) for name in self._columns.labels],
            )

    def _field(self, row: JsonObject, column: str, where: str):
        if column not in row:
            raise InputError(
                f'{where}: has no "{column}"; it has: {listing(row)}{suggestion(column, row)}'
            )
        row.check_once(column, where)
        return row[column]

    def _text(self, row: JsonObject, column: str, where: str) -> str:
        text = self._field(row, column, where)
        if text is None:
            return ""
        if not isinstance(text, str):
            raise InputError(f'{where}: "{column}" is a {_kind(text)}; text is needed')
        return _valid(text, where)

    def _label(self, row: JsonObject, column: str, where: str) -> str | list[str]:
        label = self._field(row, column, where)
        if isinstance(label, list) and self._columns.lists and column == self._columns.labels[-1]:
            return [self._name(name, column, where) for name in label]
        return self._name(label, column, where)

    def _name(self, label, column: str, where: str) -> str:
        if label is None or label != label:  # NaN stands for a missing value
            return ""
        if isinstance(label, bool):
            return "true" if label else "false"
        if isinstance(label, float) and label.is_integer():  # integers beside missing values
            return str(int(label))
        if not isinstance(label, (str, int, float)):
            hint = "; --label-separator takes lists of names" if isinstance(label, list) else ""
            raise InputError(
                f'{where}: "{column}" is a {_kind(label)}; a name or a number is needed{hint}'
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
    kinds = {JsonObject: "object", list: "list", str: "text", bool: "truth value", type(None): "null"}
    return kinds.get(type(value), "number")
