"""report.json and report.md, which are whole at any time."""

from __future__ import annotations

import os
import time

from measuring.report import markdown_table, write_json

FORMAT = 1
STATES = ("passed", "failed", "skipped", "out of time", "not run")


class Report:
    """`content` is what report.json holds:

    format, bundle, started, rehearsal, seconds; parts: by name, each with `state` (one of STATES),
    `seconds`, `limit`, `findings` and what the part measured. A finding has `name`, `state` and,
    where there is more to say, `detail`."""

    def __init__(self, folder: str, bundle: dict, rehearsal: bool, names: list[str]):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self._begun = time.monotonic()
        self.content = {
            "format": FORMAT,
            "bundle": bundle,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "rehearsal": rehearsal,
            "seconds": 0.0,
            "parts": {name: {"state": "not run", "findings": []} for name in names},
        }

    def put(self, name: str, part: dict) -> None:
        """What is known of a part by now."""
        self.content["parts"][name] = part
        self.content["seconds"] = round(time.monotonic() - self._begun, 1)
        write_json(os.path.join(self.folder, "report.json"), self.content)
        path = os.path.join(self.folder, "report.md")
        with open(path + ".partial", "w", encoding="utf-8") as stream:
            stream.write(markdown(self.content))
        os.replace(path + ".partial", path)

    def failed(self) -> bool:
        return any(
            part["state"] in ("failed", "out of time") for part in self.content["parts"].values()
        )


def state_of(findings: list[dict]) -> str:
    """Of a part that came to its end."""
    states = {finding["state"] for finding in findings}
    if "failed" in states:
        return "failed"
    if "out of time" in states:
        return "out of time"
    return "passed" if "passed" in states or not states else "skipped"


def markdown(content: dict) -> str:
    title = "# Thaw on a GPU" + (
        ": a rehearsal on the null GPU, no figure means anything" * content["rehearsal"]
    )
    bundle = content["bundle"]
    lines = [
        title,
        f"Sources {bundle.get('revision', 'unknown')}; begun {content['started']}, "
        f"{content['seconds']:.0f} s.",
    ]
    rows = []
    for name, part in content["parts"].items():
        states = [finding["state"] for finding in part["findings"]]
        counts = ", ".join(f"{states.count(s)} {s}" for s in STATES if s in states)
        rows.append([name, part["state"], f"{part.get('seconds', 0):.0f}", counts])
    lines.append(markdown_table(["part", "state", "s", "findings"], rows))
    for name, part in content["parts"].items():
        lines += _details(name, part)
    return "\n\n".join(lines) + "\n"


def _details(name: str, part: dict) -> list[str]:
    lines = []
    told = [f for f in part["findings"] if f["state"] != "passed" or f.get("detail")]
    if told:
        bullets = []
        for finding in told:
            detail = str(finding.get("detail", "")).strip().replace("\n", "\n  ")
            bullets.append(
                f"- {finding['name']}: {finding['state']}"
                + (f": {detail[:1500]}" if detail else "")
            )
        lines.append("\n".join(bullets))
    if part.get("values"):
        rows = [[key, _cell(value)] for key, value in part["values"].items()]
        lines.append(markdown_table(["", "value"], rows))
    for table in part.get("tables", []):
        lines.append(f"**{table['title']}**\n\n" + markdown_table(table["columns"], table["rows"]))
    return [f"## {name}", *lines] if lines else []


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
