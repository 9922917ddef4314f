"""Images as files in a folder a class, decoded by Pillow on several threads."""

from __future__ import annotations

import collections
import concurrent.futures
import hashlib
import io
import os
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps

from preparation.array_labels import ArrayLabels
from preparation.classes import Labels
from preparation.dataset_file import SLAB_BYTES
from preparation.errors import InputError, listing, note, reason
from preparation.inputs import base_name
from preparation.progress import Progress
from preparation.tasks import CLASSIFICATION

_SUFFIXES = {
    ".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip
_GREY_MODES = {"1", "L", "LA"}
_COLOUR_MODES = {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"}
_ORIENTATION = 0x0112  # EXIF's tag; 1 is upright, 5 to 8 lie on their side
# Where cameras write it. Asking a PNG for EXIF data would decode all of it.
_ORIENTED_FORMATS = {"JPEG", "MPO", "TIFF", "WEBP"}


class FolderImages:
    """`root/CLASS/…/image.png`: a source of N,C,H,W slabs of bytes.

    Greyscale where all images are, else RGB. Cameras' orientation marks are applied.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, root: str, size: int | None):
        self.name = root
        self._root = root
        self._size = size
        self._hash = hashlib.sha256()
        self._bytes = 0
        self._files, labels = self._find()
        self.labels = ArrayLabels(CLASSIFICATION, "", labels, 0)
        self.count = len(self._files)
        self.shape = self._scan()

    def slabs(self) -> Iterator[np.ndarray]:
        """Decodes in the order of `labels`, a bounded number of images ahead."""
        channels, height, width = self.shape
        step = max(1, SLAB_BYTES // max(1, channels * height * width))
        workers = min(16, os.cpu_count() or 1)
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            slab = []
            for image, digest, size in _ordered(pool, self._decode, self._files, 4 * workers):
                self._hash.update(digest)
                self._bytes += size
                slab.append(image)
                if len(slab) == step:
                    yield np.stack(slab)
                    slab = []
            if slab:
                yield np.stack(slab)

    def describe(self) -> list[dict]:
        """After `slabs` went through: a digest of all files' paths and contents."""
        return [
            {
                "file": base_name(self._root),
                "images": self.count,
                "bytes": self._bytes,
                "sha256": self._hash.hexdigest(),
            }
        ]

    def _find(self) -> tuple[list[str], Labels]:
        labels = Labels()
        files: list[str] = []
        ignored: list[str] = []
        try:
            entries = [entry for entry in os.scandir(self._root) if not entry.name.startswith(".")]
        except OSError as error:
            raise InputError(f"{self._root}: cannot be read: {reason(error)}") from error
        folders = sorted(entry.name for entry in entries if entry.is_dir())
        if not folders:
            raise InputError(
                f"{self._root}: has no folders; one folder of images a class is needed"
            )
        ignored += [entry.path for entry in entries if not entry.is_dir()]
        for name in folders:
            _check_name(name, self._root)
            found = sorted(_walk(os.path.join(self._root, name)))
            images = [path for path in found if os.path.splitext(path)[1].lower() in _SUFFIXES]
            ignored += [path for path in found if path not in set(images)]
            if not images:
                raise InputError(f"{os.path.join(self._root, name)}: holds no images")
            for path in images:
                labels.add(name, lambda path=path: path)
            files += images
        if ignored:
            note(
                f"{self._root}: {len(ignored):,} files are no images: {listing(sorted(ignored), 3)}"
            )
        return files, labels

    def _scan(self) -> tuple[int, int, int]:
        """Channels, height and width, from the images' headers."""
        grey = True
        sizes: dict[tuple[int, int], str] = {}
        with Progress(f"looking at {self._root}", self.count, "images") as progress:
            for path in self._files:
                try:
                    with Image.open(path) as image:
                        mode, size = image.mode, image.size
                        if _orientation(image) >= 5:
                            size = size[::-1]
                except Exception as error:  # Pillow's decoders raise nearly anything
                    raise InputError(f"{path}: is no image: {reason(error)}") from error
                if mode not in _GREY_MODES | _COLOUR_MODES:
                    raise InputError(
                        f"{path}: has pixels of Pillow's mode {mode}; 8 bits a channel are needed"
                    )
                grey = grey and mode in _GREY_MODES
                if size not in sizes:
                    sizes[size] = path
                progress.add(1)
        if len(sizes) > 1 and not self._size:
            (first, one), (second, other) = list(sizes.items())[:2]
            raise InputError(
                f"{self._root}: images differ in size ({one} is {first[0]}x{first[1]}, {other} "
                f"{second[0]}x{second[1]}): give --size N to scale and crop them to NxN"
            )
        width, height = (self._size, self._size) if self._size else next(iter(sizes))
        return (1 if grey else 3), height, width

    def _decode(self, path: str) -> tuple[np.ndarray, bytes, int]:
        """The pixels [C,H,W], and for the fingerprint a digest of path and content."""
        try:
            with open(path, "rb") as stream:
                content = stream.read()
            with Image.open(io.BytesIO(content)) as opened:
                image = opened if _orientation(opened) == 1 else ImageOps.exif_transpose(opened)
                image = image.convert("L" if self.shape[0] == 1 else "RGB")
            if self._size:
                image = square(image, self._size)
        except Exception as error:  # Pillow's decoders raise nearly anything
            raise InputError(f"{path}: cannot be decoded: {reason(error)}") from error
        pixels = np.asarray(image)
        pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        if pixels.shape != self.shape:
            raise InputError(f"{path}: changed while it was read")
        name = os.fsencode(os.path.relpath(path, self._root).replace(os.sep, "/"))
        digest = hashlib.sha256(name + b"\0" + hashlib.sha256(content).digest()).digest()
        return pixels, digest, len(content)


def _orientation(image: Image.Image) -> int:
    if image.format not in _ORIENTED_FORMATS:
        return 1
    value = image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def square(image: Image.Image, size: int) -> Image.Image:
    """Scales the shorter side to `size`, then crops the centre, as torchvision's Resize and
    CenterCrop do (bilinear, their roundings), whose pre-trained weights expect it."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    scaled = int(size * long / short)
    target = (size, scaled) if width <= height else (scaled, size)
    if target != image.size:
        image = image.resize(target, Image.Resampling.BILINEAR)
    left, top = (int(round((extent - size) / 2.0)) for extent in target)
    return image.crop((left, top, left + size, top + size))


def _walk(folder: str) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read: {reason(error)}") from error

    for where, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(where, name) for name in names if not name.startswith("."))


def _check_name(name: str, root: str) -> None:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{root}: the name of folder {name!r} is not UTF-8") from error


def _ordered(pool, function, items, ahead: int) -> Iterator:
    """`pool.map` that does not submit everything at once (it would hold all images)."""
    pending: collections.deque = collections.deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
