"""Opening and fingerprinting the files that a user names."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from preparation.errors import InputError, reason
from preparation.progress import Progress

_BLOCK = 1 << 20


@contextlib.contextmanager
def open_input(path: str) -> Iterator[BinaryIO]:
    """Opens a file for reading; one compressed by gzip (told by its first bytes) is unpacked.

    Damage found while reading inside the `with` is an InputError too.
    """
    check_readable(path)
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if packed:
                with gzip.open(raw, "rb") as unpacked:
                    yield unpacked
            else:
                yield raw
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: damaged gzip file: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error


def check_readable(path: str) -> None:
    """Refuses what is no regular file: input is read more than once, which a pipe cannot do."""
    if os.path.isdir(path):
        raise InputError(f"{path}: is a folder; a file is needed")
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(
            f"{path}: is no regular file; it is read twice, so save it to a file first"
        )
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error


def read_exactly(stream: BinaryIO, count: int, path: str) -> bytes:
    """`count` bytes of an unpacked stream, however few one read gives."""
    parts = []
    left = count
    while left:
        part = stream.read(left)
        if not part:
            raise InputError(f"{path}: ends {left:,} bytes before its header says")
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def base_name(path: str) -> str:
    """The last part of a path as text, even where the file system's bytes are none."""
    return os.fsencode(os.path.basename(os.path.abspath(path))).decode("utf-8", "replace")


def describe(path: str) -> dict:
    """What a dataset file keeps of its sources: the base name (paths are nobody's business), the
    size, and a SHA-256 of the bytes as they lie on disk."""
    check_readable(path)
    digest = hashlib.sha256()
    size = os.path.getsize(path)
    try:
        with (
            open(path, "rb") as stream,
            Progress(f"fingerprint of {path}", size, "bytes") as progress,
        ):
            while block := stream.read(_BLOCK):
                digest.update(block)
                progress.add(len(block))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    return {"file": base_name(path), "bytes": size, "sha256": digest.hexdigest()}
