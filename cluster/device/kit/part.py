"""One part, in a process of its own: python -m kit.part request.json result.json."""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
import traceback

from measuring.report import write_json


class CannotCheck(Exception):
    """What a check needs of this machine is not there; it says what."""


class Part:
    """What a part is given, and where it puts what it finds; saved at each finding. Several threads
    of the part may find at a time."""

    def __init__(self, request: dict, result: str):
        self.bundle: str = request["bundle"]
        self.work: str = request["work"]  # a folder of its own
        self.null_gpu: str = request["null_gpu"]  # its library, or ""
        self.deadline = time.monotonic() + request["seconds"] - 2
        self._result = result
        self._lock = threading.Lock()
        self._content: dict = {"findings": [], "values": {}, "tables": []}

    def left(self) -> float:
        """Seconds."""
        return max(0.0, self.deadline - time.monotonic())

    def data(self, name: str) -> str:
        return os.path.join(self.bundle, "data", name)

    def program(self, name: str) -> str:
        return os.path.join(self.bundle, "bin", name)

    def folder(self, *names: str) -> str:
        path = os.path.join(self.work, *names)
        os.makedirs(path, exist_ok=True)
        return path

    def passed(self, name: str, detail: str = "") -> None:
        self.find(name, "passed", detail)

    def failed(self, name: str, detail: str) -> None:
        self.find(name, "failed", detail)

    def skipped(self, name: str, why: str) -> None:
        self.find(name, "skipped", why)

    def out_of_time(self, name: str) -> None:
        self.find(name, "out of time", "")

    def find(self, name: str, state: str, detail: str = "") -> None:
        finding = {"name": name, "state": state}
        if detail:
            finding["detail"] = detail
        print(f"{name}: {state} {detail}", flush=True)
        with self._lock:
            self._content["findings"].append(finding)
            self._save()

    def values(self, **values) -> None:
        """Figures by name."""
        with self._lock:
            self._content["values"] |= values
            self._save()

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """Replaces that of the same title."""
        with self._lock:
            kept = [table for table in self._content["tables"] if table["title"] != title]
            self._content["tables"] = [*kept, {"title": title, "columns": columns, "rows": rows}]
            self._save()

    def keep(self, name: str, content: object) -> None:
        """Raw figures, in the JSON alone."""
        with self._lock:
            self._content[name] = content
            self._save()

    def save(self) -> None:
        with self._lock:
            self._save()

    def _save(self) -> None:
        write_json(self._result, self._content)

    def check(self, name: str, body) -> None:
        """`body()` is a finding: passed with the words it returns, failed with what it throws, and
        skipped where that is CannotCheck."""
        if self.left() <= 0:
            self.out_of_time(name)
            return
        try:
            detail = body()
        except CannotCheck as error:
            self.skipped(name, str(error))
        except Exception as error:  # whatever it is: the next check runs all the same
            traceback.print_exc()
            state = "out of time" if self.left() <= 0 else "failed"
            self.find(name, state, f"{type(error).__name__}: {error}"[-3000:])
        else:
            self.passed(name, detail or "")


def main(question: str, answer: str) -> None:
    with open(question, encoding="utf-8") as stream:
        request = json.load(stream)
    part = Part(request, answer)
    part.save()
    importlib.import_module(request["module"]).run(part)
    part.save()


if __name__ == "__main__":
    importlib.import_module("kit.part").main(*sys.argv[1:])  # the module that the parts import
