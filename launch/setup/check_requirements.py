"""Prints which lines of a requirements file the running Python lacks, one a line.

A requirement is there if a distribution of that name and version is installed and each file that
its RECORD names exists with its size, so that an installation that broke off does not count.
"""

import importlib.metadata
import os
import sys


def is_version(installed: str, wanted: str) -> bool:
    """Whether a version is the wanted one, or in the series that 1.2.* names."""
    if wanted.endswith(".*"):
        return f"{installed}.".startswith(wanted[:-1])
    return installed == wanted


def is_whole(name: str, version: str) -> bool:
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    if not is_version(distribution.version.split("+")[0], version) or not distribution.files:
        return False
    for file in distribution.files:
        if file.suffix == ".pyc":  # Python writes and clears them as it likes
            continue
        try:
            size = os.stat(file.locate()).st_size
        except OSError:
            return False
        if file.size is not None and file.size != size:
            return False
    return True


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as lines:
        for line in lines:
            requirement = line.split("#")[0].strip()
            if requirement and not is_whole(*requirement.split("==")):
                print(requirement)


if __name__ == "__main__":
    main()
