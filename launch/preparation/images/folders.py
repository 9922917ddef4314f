"""Images as files in a folder a class, decoded by Pillow on several threads."""

from __future__ import annotations

import collections
import concurrent.futures
import hashlib
import os
import stat
from collections.abc import Iterator

import numpy as np

from preparation import limits
from preparation.classes import Labels
from preparation.dataset_file import SLAB_BYTES
from preparation.errors import InputError, listing, note, reason
from preparation.images import decoding
from preparation.images.labels import ArrayLabels
from preparation.inputs import base_name
from preparation.progress import Progress
from preparation.splits import split_of
from preparation.tasks import CLASSIFICATION

# Bytes of images that are decoded ahead, and of what their decoding takes at a time.
_AHEAD_BYTES = 256 << 20
_DECODING_BYTES = 16  # a pixel


class FolderImages:
    """`root/CLASS/…/image.png`: a source of N,C,H,W slabs of bytes.

    Greyscale where all images are, else RGB. Cameras' orientation marks are applied.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, root: str, size: int | None, classes_are_known: bool = False):
        """`classes_are_known`: something else says which they are (train, --classes)."""
        self.name = root
        self._root = root
        self._classes_are_known = classes_are_known
        self._size = size
        self._hash = hashlib.sha256()
        self._bytes = 0
        self._files, labels = self._find()
        self.labels = ArrayLabels(CLASSIFICATION, "", labels, 0)
        self.count = len(self._files)
        self.largest = 255.0  # of the values
        self._largest = 0  # pixels of an image
        self._largest_file = 0  # bytes
        self.shape = self._scan()

    def slabs(self) -> Iterator[np.ndarray]:
        """Decodes in the order of `labels`, a bounded number of images ahead."""
        channels, height, width = self.shape
        image_bytes = channels * height * width
        step = max(1, SLAB_BYTES // image_bytes)
        fitting = _AHEAD_BYTES // max(_DECODING_BYTES * self._largest, self._largest_file)
        workers = max(1, min(16, os.cpu_count() or 1, fitting))
        ahead = max(1, min(4 * workers, _AHEAD_BYTES // image_bytes))
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            slab = []
            for image, digest, size in _ordered(pool, self._decode, self._files, ahead):
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
        tree = _Tree(self._root)
        classes = tree.classes()
        splits = set(map(split_of, classes))
        if None not in splits or len(splits - {None}) > 1:
            raise InputError(
                f"{self._root}: its folders are splits, not classes: {listing(classes)}; give "
                f"--splits {self._root}"
            )
        for name in classes:
            found = tree.files_of(name)
            images = [path for path in found if _suffix(path) in decoding.SUFFIXES]
            ignored += [path for path in found if _suffix(path) not in decoding.SUFFIXES]
            if not images:
                raise InputError(f"{os.path.join(self._root, name)}: holds no images")
            if len(classes) == 1 and not self._classes_are_known:
                self._refuse_outer(name, images)
            for path in images:
                labels.add(name, lambda path=path: path)
            files += images
        tree.tell()
        ignored += tree.loose
        _tell_ignored(self._root, ignored)
        return files, labels

    def _refuse_outer(self, name: str, images: list[str]) -> None:
        """What an archive unpacks to is often the folder of classes in one more."""
        outer = os.path.join(self._root, name)
        inner = sorted({os.path.relpath(path, outer).split(os.sep)[0] for path in images})
        if len(inner) < 2 or not all(os.path.isdir(os.path.join(outer, each)) for each in inner):
            return
        splits = set(map(split_of, inner))
        wanted = "--splits" if None not in splits and len(splits) > 1 else "in its place"
        raise InputError(
            f"{self._root}: has one folder, {name}, whose folders are more likely the classes "
            f"({listing(inner)}): give {wanted} {outer}; if {name} is a class, --classes FILE lists it"
        )

    def _scan(self) -> tuple[int, int, int]:
        """Channels, height and width, from the images' headers."""
        grey = True
        sizes: dict[tuple[int, int], str] = {}
        several: list[str] = []
        warned: list[str] = []
        with Progress(f"looking at {self._root}", self.count, "images") as progress:
            for path in self._files:
                header = decoding.Header(path)
                grey = grey and header.mode in decoding.GREY_MODES
                size = (header.width, header.height)
                self._largest = max(self._largest, self._pixels(path, *size))
                self._largest_file = max(self._largest_file, header.bytes)
                if size not in sizes and len(sizes) < 2:
                    sizes[size] = path
                several += [path] * bool(header.frames)
                warned += [f"{path} ({header.warning})"] * bool(header.warning)
                progress.add(1)
        if several:
            note(
                f"{self._root}: {len(several):,} files hold several images, of which the first is "
                f"taken: {listing(several, 3)}"
            )
        if warned:
            note(f"{self._root}: {len(warned):,} files are damaged: {listing(warned, 3)}")
        if len(sizes) > 1 and not self._size:
            (first, one), (second, other) = list(sizes.items())[:2]
            raise InputError(
                f"{self._root}: images differ in size ({one} is {first[0]}x{first[1]}, {other} "
                f"{second[0]}x{second[1]}): give --size N to scale and crop them to NxN"
            )
        width, height = (self._size, self._size) if self._size else next(iter(sizes))
        return (1 if grey else 3), height, width

    def _pixels(self, path: str, width: int, height: int) -> int:
        """The most pixels that an image has on its way: scaling a narrow one makes it long."""
        most = width * height
        if self._size:
            scaled = decoding.scaled_size(width, height, self._size)
            if scaled[0] * scaled[1] > limits.PIXELS:
                raise InputError(
                    f"{path}: {width}x{height} is too narrow to be scaled to a shorter side of "
                    f"{self._size}: it would become {scaled[0]}x{scaled[1]}"
                )
            most = max(most, scaled[0] * scaled[1])
        return most

    def _decode(self, path: str) -> tuple[np.ndarray, bytes, int]:
        """The pixels [C,H,W], and for the fingerprint a digest of path and content."""
        pixels, digest, count = decoding.decode(path, self._root, self.shape[0] == 1, self._size)
        if pixels.shape != self.shape:
            raise InputError(f"{path}: is of another size than its header says")
        return pixels, digest, count


def _tell_ignored(root: str, paths: list[str]) -> None:
    """What lies beside the images, and images that Pillow does not read."""
    unread = sorted(path for path in paths if _suffix(path) in decoding.UNREAD_SUFFIXES)
    others = sorted(set(paths).difference(unread))
    if unread:
        note(
            f"{root}: {len(unread):,} images are of a kind that is not read, and are left out: "
            f"{listing(unread, 3)}; convert them to PNG or JPEG"
        )
    if others:
        note(f"{root}: {len(others):,} files are no images: {listing(others, 3)}")


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


class _Tree:
    """The folders under a root. Links are followed, each folder of a class once; `tell` says so."""

    def __init__(self, root: str):
        self._root = root
        self.loose: list[str] = []  # files beside the classes' folders
        self._followed: list[str] = []
        self._again: list[str] = []  # links to a folder that was seen
        self._owners: dict[tuple[int, int], str] = {}  # the class of each folder seen

    def classes(self) -> list[str]:
        """Names of the classes' folders, sorted."""
        names = []
        for entry in self._entries(self._root):
            if entry.is_dir():
                names.append(entry.name)
            else:
                self.loose.append(entry.path)
        if not names:
            raise InputError(
                f"{self._root}: has no folders; one folder of images a class is needed"
            )
        return sorted(names)

    def files_of(self, name: str) -> list[str]:
        """All files of a class, sorted."""
        found: list[str] = []
        seen = {_identity(self._root)}
        waiting = [os.path.join(self._root, name)]
        while waiting:
            folder = waiting.pop()
            identity = _identity(folder)
            if identity in seen:
                self._again.append(folder)
                continue
            seen.add(identity)
            owner = self._owners.setdefault(identity, name)
            if owner != name:
                raise InputError(
                    f'{folder}: is a folder of class "{owner}" too: its images would be of two'
                )
            self._followed += [folder] * os.path.islink(folder)
            for entry in self._entries(folder):
                if entry.is_dir():
                    waiting.append(entry.path)
                else:
                    _refuse_special(entry)
                    found.append(entry.path)
            limits.check_samples(folder, len(found))
        return sorted(found)

    def tell(self) -> None:
        for folders, what in (
            (self._followed, "are links, which were followed"),
            (self._again, "lead back to a folder of their class, and were left out"),
        ):
            if folders:
                note(f"{self._root}: {len(folders):,} folders {what}: {listing(folders, 3)}")

    def _entries(self, folder: str) -> list[os.DirEntry]:
        """What is not hidden, folders that links make endless excepted."""
        try:
            with os.scandir(folder) as entries:
                return [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            raise InputError(f"{folder}: cannot be read: {reason(error)}") from error


def _identity(folder: str) -> tuple[int, int]:
    """The same for each of a folder's names."""
    try:
        held = os.stat(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {reason(error)}") from error
    return held.st_dev, held.st_ino


def _refuse_special(entry: os.DirEntry) -> None:
    """A pipe or device named like an image would be waited for; a link to nowhere is an error."""
    if _suffix(entry.path) not in decoding.SUFFIXES:
        return
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        raise InputError(f"{entry.path}: cannot be read: {reason(error)}") from error
    if not stat.S_ISREG(mode):
        raise InputError(f"{entry.path}: is no regular file, but a pipe or a device")


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
