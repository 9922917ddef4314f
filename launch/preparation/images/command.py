"""`prepare.py images`: arrays or folders of images, to N,C,H,W."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import Protocol

import h5py
import numpy as np

from preparation import classes
from preparation.dataset_file import ArrayWriter, DatasetFile
from preparation.errors import InputError, note, require
from preparation.images import arrays
from preparation.images.labels import ArrayLabels
from preparation.progress import Progress, file_size, tell_result
from preparation.tasks import (
    CLASSIFICATION,
    MULTI_LABEL,
    REGRESSION,
    Resolved,
    resolve_classes,
    resolve_sets,
    resolve_values,
    write_labels,
)


class ImageSource(Protocol):
    """One split's images, whatever they come from."""

    name: str
    count: int
    largest: float  # of the values that went through `slabs`, whatever their sign
    shape: tuple[int, int, int]  # channels, height, width
    dtype: np.dtype  # uint8 or float32
    labels: ArrayLabels

    def slabs(self) -> Iterator[np.ndarray]:
        """All images in order, some N,C,H,W at a time; values fit `dtype`."""

    def describe(self) -> list[dict]:
        """Sources with fingerprints, after `slabs` went through."""


def run(options: argparse.Namespace) -> None:
    inputs = [path for spec in options.splits.values() for path in arrays.paths_of(spec)]
    inputs += filter(None, [options.classes])
    with DatasetFile(options.output, options.force, inputs) as file:
        sources = {split: _open(split, spec, options) for split, spec in options.splits.items()}
        channels, height, width = _common_shape(sources, options.rgb)
        normalization = _normalization(options, channels, sources)
        listed = classes.read_class_list(options.classes) if options.classes else None
        task = _task(sources, listed, options.target_names)
        taken = task.split_train(options.validation_fraction, options.seed)
        dtype = next(iter(sources.values())).dtype
        count = sum(source.count for source in sources.values())
        pixels = count * channels * height * width * dtype.itemsize
        file.check_space(pixels + sum(labels.bytes for labels in task.labels.values()))
        with Progress("writing images", count, "images") as progress:
            for split, source in sources.items():
                masks = {split: np.ones(source.count, dtype=bool)}
                if split == "train" and taken is not None:
                    masks = {"train": ~taken, "validation": taken}
                shape = (channels, height, width)
                _write(file, source, masks, shape, progress)
        for split, labels in task.labels.items():
            write_labels(file, split, labels)
        _check_units(options, sources)
        attributes = {
            "kind": "images",
            **task.attributes,
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
    tell_result(
        options.output,
        f"images {channels}x{height}x{width} {dtype}, {task.summary}, {file_size(size)}",
        ["split", "images", "a class" if task.kind != REGRESSION else "range"],
        [[split, f"{len(labels):,}", labels.summary] for split, labels in task.labels.items()],
    )


def _open(split: str, spec: str, options: argparse.Namespace) -> ImageSource:
    if os.path.isdir(spec):
        require("PIL")
        from preparation.images.folders import FolderImages  # the only one that needs Pillow

        if options.task not in (None, CLASSIFICATION):
            raise InputError(f"{spec}: folders of images are classes; --task is for arrays")
        known = bool(options.classes) or (split != "train" and "train" in options.splits)
        return FolderImages(spec, options.size, classes_are_known=known)
    if options.size:
        raise InputError(f"--size is for folders of image files, which {spec} is not")
    if spec.endswith(".npz") or ".npz:" in spec:
        return arrays.open_npz(spec, options.layout, options.task)
    if "," in spec:
        return arrays.open_idx(spec, options.layout, options.task)
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
    return shape


def _task(
    sources: dict[str, ImageSource], listed: list[str] | None, targets: list[str] | None
) -> Resolved:
    """What is to be learnt, the same of all splits."""
    (first, labels), *others = ((source.name, source.labels) for source in sources.values())
    for name, other in others:
        for what, one, two in (
            ("kind of task", labels.task, other.task),
            ("columns", labels.columns, other.columns),
            ("kind", *("numbers" if part.indices else "names" for part in (labels, other))),
        ):
            if one != two:
                raise InputError(f"labels differ in {what}: {first} has {one}, {name} {two}")
    read = {split: source.labels.read for split, source in sources.items()}
    if targets and labels.task != REGRESSION:
        raise InputError(f"--target-names: labels of {first} are classes; --classes names those")
    if labels.task == CLASSIFICATION:
        return resolve_classes(read, listed, labels.indices)
    names = listed if labels.task == MULTI_LABEL else targets
    if names and len(names) != labels.columns:
        flag = "--classes" if labels.task == MULTI_LABEL else "--target-names"
        raise InputError(
            f"{flag}: {len(names)} names for the {labels.columns} columns of labels in {first}"
        )
    if labels.task == MULTI_LABEL:
        return resolve_sets(read, names or list(map(str, range(labels.columns))))
    if listed:
        raise InputError(f"--classes: labels of {first} are numbers, which have no classes")
    name = labels.name or "target"
    several = [f"{name}.{column}" for column in range(labels.columns)]
    return resolve_values(read, names or (several if labels.columns > 1 else [name]))


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


def _check_units(options: argparse.Namespace, sources: dict[str, ImageSource]) -> None:
    """Float inputs are taken as they are, so --mean and --std must be in their units."""
    for source in sources.values():
        if options.mean is None or source.dtype == np.uint8:
            continue
        usual = max(map(abs, options.mean)) + 30 * max(options.std)
        if source.largest > usual:
            note(
                f"{source.name}: holds values up to {source.largest:g}, far from --mean and --std: "
                "are they in other units? Bytes alone are divided by 255"
            )


def _write(
    file: DatasetFile,
    source: ImageSource,
    masks: dict[str, np.ndarray],
    shape: tuple[int, int, int],
    progress: Progress,
) -> None:
    """Writes each image to the split whose mask has it, in one pass over the source."""
    writers: dict[str, ArrayWriter] = {}
    for split, mask in masks.items():
        count = int(np.count_nonzero(mask))
        name = np.dtype(source.dtype).newbyteorder("<").str
        writers[split] = file.array(split, "inputs", name, [count, *shape])
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
