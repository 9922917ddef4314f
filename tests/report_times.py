"""What the tests took, against a budget: the end of tests/run.sh.

    tests/report_times.py FILE.xml

FILE is what `ctest --output-junit` wrote. The budgets are of a quiet machine of two cores and are
told, not enforced: a busy or slow machine is no fault of a test.
"""

import sys
import xml.etree.ElementTree as ElementTree

# Seconds that one ctest entry may take, by how its name begins; the first that fits.
BUDGETS = (
    ("dist/mpi/", 10),
    ("core/", 20),
    ("dist/", 30),
    ("launch/command_", 180),
    ("launch/", 60),
    ("", 120),
)
ALL = 720  # seconds of all of them, one after the other
SHOWN = 10


def budget_of(name: str) -> int:
    return next(seconds for begin, seconds in BUDGETS if name.startswith(begin))


def times(text: str) -> list:
    """(seconds, name) of each test that ran, the slowest first."""
    ran = []
    for case in ElementTree.fromstring(text).iter("testcase"):
        if case.get("status") in ("run", "fail"):
            ran.append((float(case.get("time")), case.get("name")))
    return sorted(ran, reverse=True)


def report(ran: list) -> str:
    total = sum(seconds for seconds, _ in ran)
    over = [(seconds, name) for seconds, name in ran if seconds > budget_of(name)]
    lines = [f"{len(ran)} tests took {total:.0f} s one after the other, of {ALL} s; the slowest:"]
    lines += [
        f"{seconds:8.1f} s of {budget_of(name):3d}  {name}" for seconds, name in ran[:SHOWN]
    ]
    lines.append(f"{len(over)} over their budget" + (":" if over else "."))
    lines += [f"{seconds:8.1f} s of {budget_of(name):3d}  {name}" for seconds, name in over]
    return "\n".join(lines)


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as stream:
        ran = times(stream.read())
    print("      " + report(ran).replace("\n", "\n      "))
    return 0


if __name__ == "__main__":
    sys.exit(main())
