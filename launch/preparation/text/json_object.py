"""A line of JSON lines, read so that nothing of it is dropped unseen."""

from __future__ import annotations

import collections
import json

from preparation.errors import InputError


class JsonObject(dict):
    """A JSON object that knows which fields it names twice: readers take one or the other."""

    def __init__(self, fields: list[tuple]):
        super().__init__(fields)
        self._several: dict[str, int] = {}  # times that a name stands there
        if len(self) < len(fields):
            self._several = collections.Counter(name for name, _ in fields)

    def check_once(self, name: str, where: str) -> None:
        """Of a field that is wanted; like a table's columns, others may come as often as they like."""
        if self._several.get(name, 1) > 1:
            raise InputError(f'{where}: {self._several[name]} fields are named "{name}"')


def read_json_line(line: str):
    """What the line holds, its objects as JsonObject; raises what json.loads does."""
    return json.loads(line, object_pairs_hook=JsonObject)
