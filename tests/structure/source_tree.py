"""What the structure tests share: the project's files, from git or, in a tarball, from the disk."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

CPP = (".h", ".cpp", ".cu", ".cuh", ".inc")


def tracked(*suffixes: str) -> list:
    """Paths from the root, with slashes, of files that end in one of `suffixes` (or all)."""
    listing = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if listing.returncode == 0:
        paths = [path for path in listing.stdout.split("\0") if path]
    else:
        paths = list(on_disk())
    paths = [path for path in paths if os.path.isfile(os.path.join(ROOT, path))]
    return sorted(path for path in paths if not suffixes or path.endswith(suffixes))


def on_disk():
    for folder, folders, files in os.walk(ROOT):
        if folder == ROOT:  # what .gitignore names
            folders[:] = [
                name
                for name in folders
                if not name.startswith("build") and name not in (".venv", "data", "runs", ".git")
            ]
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            yield os.path.relpath(os.path.join(folder, name), ROOT).replace(os.sep, "/")


def read(path: str) -> str:
    """A file's text, or "" where it is none."""
    with open(os.path.join(ROOT, path), "rb") as stream:
        content = stream.read()
    return "" if b"\0" in content else content.decode("utf-8", errors="replace")


def report(problems: list) -> None:
    """Prints each problem and ends with 1 if there is one."""
    for problem in problems:
        print(problem)
    sys.exit(bool(problems))
