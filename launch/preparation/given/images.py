"""Image files that `thaw predict` is given, decoded, scaled and cropped as `prepare.py images` does
it with those of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from preparation import limits
from preparation.dataset_file import DatasetFile
from preparation.errors import InputError, reason
from preparation.given import labels
from preparation.images import decoding


def prepare(request: dict, output: str) -> Iterator[dict]:
    """Writes the data file; yields what is shown of each sample."""
    channels, height, width = request["shape"]
    if channels not in (1, 3):
        raise InputError(
            f"--images: this network was trained on images of {channels} channels, which files of "
            "images do not have; make a data file of arrays with prepare.py images"
        )
    files = [os.fsdecode(path) for given in request["images"] for path in _files(_name(given))]
    limits.check_samples("--images", len(files))
    with DatasetFile(output) as file:
        writer = file.array(labels.SPLIT, "inputs", "|u1", (len(files), channels, height, width))
        for path in files:
            writer.append(_pixels(path, (channels, height, width))[None])
        labels.write(file, request, len(files))
        file.commit({"kind": "images", **labels.attributes(request), **_normalization(request)})
    for path in files:
        yield {"file": os.fsencode(path).decode("utf-8", "backslashreplace")}


def _name(text: str) -> str:
    """Of a path as the request has it: a byte XX that is no UTF-8 stands there as U+EFXX."""
    held = bytearray()
    for character in text:
        code = ord(character)
        held += bytes([code - 0xEF00]) if 0xEF80 <= code <= 0xEFFF else character.encode()
    return os.fsdecode(bytes(held))


def _files(path: str) -> list[str]:
    """A file itself; of a folder all images below it, by name."""
    if not os.path.isdir(path):
        return [path]
    found = []

    def fail(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read: {reason(error)}") from error

    for folder, folders, names in os.walk(path, onerror=fail):
        folders.sort()
        found += [
            os.path.join(folder, name)
            for name in sorted(names)
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in decoding.SUFFIXES
        ]
    if not found:
        raise InputError(f"{path}: holds no images")
    return found


def _pixels(path: str, shape: tuple[int, int, int]) -> np.ndarray:
    channels, height, width = shape
    header = decoding.Header(path)
    same = (header.height, header.width) == (height, width)
    if not same and height != width:
        raise InputError(
            f"{path}: is of {header.width}x{header.height} pixels, this network was trained on "
            f"{width}x{height}: scale or crop it to that"
        )
    size = None if same else height
    if size and np.prod(decoding.scaled_size(header.width, header.height, size)) > limits.PIXELS:
        raise InputError(f"{path}: is too narrow to be scaled to a shorter side of {size}")
    pixels, _, _ = decoding.decode(path, os.path.dirname(path) or ".", channels == 1, size)
    if pixels.shape != shape:
        raise InputError(f"{path}: is of another size than its header says")
    return pixels


def _normalization(request: dict) -> dict:
    if not request["mean"]:
        return {}
    return {"mean": np.array(request["mean"]), "std": np.array(request["std"])}
