"""`prepare.py images`: arrays or folders of images, to N,C,H,W."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import Protocol

import h5py
import numpy as np

from preparation import array_images, classes
from preparation.dataset_file import ArrayWriter, DatasetFile
from preparation.errors import InputError, require
from preparation.progress import Progress, file_size, table


class ImageSource(Protocol):
    """One split's images, whatever they come from."""

    name: str
    count: int
    shape: tuple[int, int, int]  # channels, height, width
    dtype: np.dtype  # uint8 or float32
    labels: classes.Labels
    indices: bool  # labels are numbers that count classes, not names

    def slabs(self) -> Iterator[np.ndarray]:
        """All images in order, some N,C,H,W at a time; values fit `dtype`."""

    def describe(self) -> list[dict]:
        """Sources with fingerprints, after `slabs` went through."""


def run(options: argparse.Namespace) -> None:
    with DatasetFile(options.output, options.force) as file:
        sources = {split: _open(spec, options) for split, spec in options.splits.items()}
        channels, height, width = _common_shape(sources, options.rgb)
        normalization = _normalization(options, channels, sources)
        listed = classes.read_class_list(options.classes) if options.classes else None
        names, labels = classes.resolve(
            {split: source.labels for split, source in sources.items()},
            listed,
            indices=all(source.indices for source in sources.values()),
        )
        taken = None
        if options.validation_fraction:
            taken = classes.validation_rows(
                labels["train"], options.validation_fraction, options.seed
            )
        dtype = next(iter(sources.values())).dtype
        count = sum(source.count for source in sources.values())
        file.check_space(count * channels * height * width * dtype.itemsize)
        rows = []
        with Progress("writing images", count, "images") as progress:
            for split, source in sources.items():
                masks = {split: np.ones(source.count, dtype=bool)}
                if split == "train" and taken is not None:
                    masks = {"train": ~taken, "validation": taken}
                shape = (channels, height, width)
                _write(file, source, masks, labels[split], shape, progress)
                rows += [_row(name, labels[split][mask]) for name, mask in masks.items()]
        attributes = {
            "kind": "images",
            "classes": names,
            **normalization,
            "created_by": f"Thaw prepare.py images (h5py {h5py.__version__})",
            "sources": [
                {"split": split, **entry}
                for split, source in sources.items()
                for entry in source.describe()
            ],
            "options": _options(options),
        }
        size = file.commit(attributes)
    print(
        f"{options.output}: images {channels}x{height}x{width} {dtype}, {len(names)} classes, "
        f"{file_size(size)}"
    )
    print(table(["split", "images", "a class"], rows))


def _open(spec: str, options: argparse.Namespace) -> ImageSource:
    if os.path.isdir(spec):
        require("PIL")
        from preparation.folder_images import FolderImages  # the only one that needs Pillow

        return FolderImages(spec, options.size)
    if options.size:
        raise InputError(f"--size is for folders of image files, which {spec} is not")
    if spec.endswith(".npz") or ".npz:" in spec:
        return array_images.open_npz(spec, options.layout)
    if "," in spec:
        return array_images.open_idx(spec, options.layout)
    problem = "is" if os.path.exists(spec) else "does not exist, and is"
    raise InputError(
        f"{spec}: {problem} none of file.npz:IMAGES,LABELS, an IDX pair `images,labels`, or a "
        "folder of class folders"
    )


def _common_shape(sources: dict[str, ImageSource], rgb: bool) -> tuple[int, int, int]:
    """The shape that all splits have."""
    shapes = {}
    for split, source in sources.items():
        channels, height, width = source.shape
        shapes[split] = (3 if rgb and channels == 1 else channels, height, width)
    (first, shape), *others = shapes.items()
    for split, other in others:
        if other != shape:
            hint = "; --rgb makes three channels of one" if other[1:] == shape[1:] else ""
            raise InputError(
                f"images differ: {sources[first].name} has {'x'.join(map(str, shape))} "
                f"(channels, height, width), {sources[split].name} "
                f"{'x'.join(map(str, other))}{hint}"
            )
        if sources[split].dtype != sources[first].dtype:
            raise InputError(
                f"images differ: {sources[first].name} has type {sources[first].dtype}, "
                f"{sources[split].name} {sources[split].dtype}"
            )
        if sources[split].indices != sources[first].indices:
            raise InputError(
                f"labels differ: of {sources[first].name} and {sources[split].name}, one has "
                "numbers and one names"
            )
    return shape


def _normalization(
    options: argparse.Namespace, channels: int, sources: dict[str, ImageSource]
) -> dict[str, np.ndarray]:
    """Attributes `mean` and `std`, one value a channel."""
    if (options.mean is None) != (options.std is None):
        raise InputError("--mean and --std belong together: give both or none")
    if options.mean is None:
        return {}
    for flag, values in (("--mean", options.mean), ("--std", options.std)):
        if len(values) != channels:
            raise InputError(f"{flag}: {len(values)} values for images of {channels} channels")
    if min(options.std) <= 0:
        raise InputError("--std: every value must be above 0")
    of_bytes = any(source.dtype == np.uint8 for source in sources.values())
    if of_bytes and not 0 <= min(options.mean) <= max(*options.mean, *options.std) <= 1:
        raise InputError(
            "--mean, --std: are in units of 0 to 1, after bytes were divided by 255; "
            "divide yours by 255"
        )
    return {"mean": np.array(options.mean), "std": np.array(options.std)}


def _write(
    file: DatasetFile,
    source: ImageSource,
    masks: dict[str, np.ndarray],
    labels: np.ndarray,
    shape: tuple[int, int, int],
    progress: Progress,
) -> None:
    """Writes each image to the split whose mask has it, in one pass over the source."""
    writers: dict[str, ArrayWriter] = {}
    for split, mask in masks.items():
        count = int(np.count_nonzero(mask))
        name = np.dtype(source.dtype).newbyteorder("<").str
        writers[split] = file.array(split, "inputs", name, [count, *shape])
        file.array(split, "labels", "<i8", [count]).append(labels[mask])
    start = 0
    for slab in source.slabs():
        if slab.shape[1] != shape[0]:
            slab = np.repeat(slab, shape[0], axis=1)  # --rgb
        end = start + len(slab)
        for split, mask in masks.items():
            chosen = mask[start:end]
            writers[split].append(slab if chosen.all() else slab[chosen])
        progress.add(len(slab))
        start = end


def _row(split: str, labels: np.ndarray) -> list[str]:
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    low, high = counts.min(), counts.max()
    return [split, f"{len(labels):,}", f"{low:,}" if low == high else f"{low:,} to {high:,}"]


def _options(options: argparse.Namespace) -> dict:
    """What, besides the sources, decided the content."""
    kept: dict = {}
    if options.validation_fraction:
        kept |= {"validation_fraction": options.validation_fraction, "seed": options.seed}
    if options.size:
        kept["size"] = options.size
    if options.rgb:
        kept["rgb"] = True
    return kept
