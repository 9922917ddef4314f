"""Images in arrays: two arrays of an npz file, or a pair of IDX files."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from preparation.errors import InputError, listing, note, suggestion
from preparation.images.labels import read_labels
from preparation.images.raw_arrays import IdxArray, NpzArray, RawArray, open_npz_archive
from preparation.inputs import Unchanged, describe

# What a dimension of channels measures, the likelier first.
_CHANNELS = [(1, 3), (4,)]


class ArrayImages:
    """Images [N,H,W], [N,H,W,C] or [N,C,H,W] and their labels, as a source of N,C,H,W slabs."""

    def __init__(
        self,
        images: RawArray,
        labels: RawArray,
        paths: list[str],
        layout: str | None,
        task: str | None,
    ):
        self.name = images.name
        self._unchanged = Unchanged(paths)
        self.largest = 0.0  # of the values that went through `slabs`, whatever their sign
        self.count = images.shape[0]
        self._images = images
        self._paths = paths
        self._layout = _layout(images, layout)
        self.shape = {
            "NHW": lambda: (1, *images.shape[1:]),
            "NHWC": lambda: (images.shape[3], images.shape[1], images.shape[2]),
            "NCHW": lambda: images.shape[1:],
        }[self._layout]()
        kind = images.dtype.kind
        if kind not in "uif":
            raise InputError(f"{images.name}: has type {images.dtype}; numbers are needed")
        self.dtype = np.dtype(np.float32 if kind == "f" else np.uint8)
        self.labels = read_labels(labels, task)
        if len(self.labels) != self.count:
            raise InputError(
                f"{images.name} has {self.count:,} images, {labels.name} {len(self.labels):,} "
                "labels"
            )

    def slabs(self) -> Iterator[np.ndarray]:
        row = 0
        for slab in self._images.slabs():
            self._check_values(slab, row)
            self.largest = max(self.largest, float(slab.max()), -float(slab.min()))
            row += len(slab)
            if self._layout == "NHW":
                yield slab[:, None]
            else:
                yield slab.transpose(0, 3, 1, 2) if self._layout == "NHWC" else slab

    def describe(self) -> list[dict]:
        self._unchanged.check()
        return [describe(path) for path in self._paths]

    def _check_values(self, slab: np.ndarray, row: int) -> None:
        if self.dtype == np.float32:
            with np.errstate(over="ignore"):
                bad = ~np.isfinite(slab.astype(np.float32))
            problem = "is no finite float32"
        elif slab.dtype == np.uint8:
            return
        else:
            bad = (slab < 0) | (slab > 255)
            problem = "is not within 0 to 255; convert the array to uint8 or float32"
        if bad.any():
            where = np.argwhere(bad)[0]
            value = slab[tuple(where)]
            where[0] += row
            position = ",".join(str(index) for index in where)
            raise InputError(f"{self.name}[{position}]: {value} {problem}")


def paths_of(spec: str) -> list[str]:
    """The files that a split's source names; commas may stand in the names of an IDX pair."""
    path = spec.rpartition(":")[0]
    if path.endswith(".npz"):
        return [path]
    parts = spec.split(",")
    pairs = ((",".join(parts[:n]), ",".join(parts[n:])) for n in range(1, len(parts)))
    return next((list(pair) for pair in pairs if all(map(os.path.exists, pair))), parts)


def open_npz(spec: str, layout: str | None, task: str | None) -> ArrayImages:
    """`file.npz:IMAGES,LABELS`"""
    path, _, names = spec.rpartition(":")
    if not path.endswith(".npz"):
        path, names = spec, ""
    with open_npz_archive(path) as archive:
        members = archive.namelist()
    held = [name[:-4] for name in members if name.endswith(".npy")]
    wanted = names.split(",")
    if len(wanted) != 2:
        raise InputError(
            f"{spec}: name the arrays of images and of labels, as {path}:IMAGES,LABELS; "
            f"it holds: {listing(held)}"
        )
    for name in wanted:
        if name not in held:
            raise InputError(
                f'{path}: has no array "{name}"; it has: {listing(held)}{suggestion(name, held)}'
            )
    images, labels = (NpzArray(path, name) for name in wanted)
    return ArrayImages(images, labels, [path], layout, task)


def open_idx(spec: str, layout: str | None, task: str | None) -> ArrayImages:
    """`images,labels`, two files"""
    paths = paths_of(spec)
    if len(paths) != 2:
        raise InputError(f"{spec}: names {len(paths)} files; an IDX pair is `images,labels`")
    return ArrayImages(IdxArray(paths[0]), IdxArray(paths[1]), paths, layout, task)


def _layout(images: RawArray, given: str | None) -> str:
    """How the dimensions of `images` are ordered, from their sizes where not given."""
    shape = list(images.shape)
    if len(shape) == 3:
        return "NHW"
    if len(shape) != 4:
        raise InputError(
            f"{images.name}: has shape {shape}; images are [N,H,W], [N,H,W,C] or [N,C,H,W]"
        )
    if given:
        return given
    for channels in _CHANNELS:
        first, last = shape[1] in channels, shape[3] in channels
        if first != last:
            if last:
                note(f"{images.name}: shape {shape} is taken as N,H,W,C; --layout NCHW says not")
            return "NCHW" if first else "NHWC"
        if first:
            break
    raise InputError(
        f"{images.name}: cannot tell channels in shape {shape}; give --layout NCHW or NHWC"
    )
