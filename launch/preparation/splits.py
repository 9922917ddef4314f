"""Names that people give the splits, and folders that hold one of each."""

from __future__ import annotations

import os

from preparation.errors import InputError, listing, reason

_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "val": "validation", "valid": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


# Suffixes of tables, and of files of tagged words.
TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json")
TAGGED = (".conll", ".conllu", ".bio", ".iob", ".iob2", ".tsv", ".txt", ".jsonl", ".ndjson", ".json")


def split_of(name: str) -> str | None:
    """The split that a file or folder of this name holds: `val` and `dev` are validation."""
    return _NAMES.get(name.lower())


def find_splits(root: str, suffixes: tuple[str, ...] | None) -> dict[str, str]:
    """What `root` holds of each split: folders, or with `suffixes` files (each also .gz)."""
    try:
        with os.scandir(root) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except (OSError, ValueError) as error:
        raise InputError(f"--splits {root}: cannot be read: {reason(error)}") from error
    found: dict[str, str] = {}
    for name in names:
        path = os.path.join(root, name)
        if os.path.isdir(path) != (suffixes is None):
            continue
        stem = name
        if suffixes is not None:
            whole = name[:-3] if name.lower().endswith(".gz") else name
            stem, suffix = os.path.splitext(whole)
            if suffix.lower() not in suffixes:
                continue
        split = split_of(stem)
        if split in found:
            raise InputError(f"--splits {root}: both {found[split]} and {path} are {split}")
        if split:
            found[split] = path
    if not found:
        kind = "folders" if suffixes is None else "tables"
        raise InputError(
            f"--splits {root}: holds no {kind} named train, validation (val, valid, dev) or test; "
            f"it holds: {listing(names) or 'nothing'}"
        )
    return {split: found[split] for split in ("train", "validation", "test") if split in found}
