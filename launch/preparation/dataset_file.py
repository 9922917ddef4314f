"""Writes one HDF5 dataset file: contiguous arrays in a group a split, or nothing at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Sequence

# Nobody else opens a file under its temporary name, and parallel file systems often refuse locks.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")

import h5py  # noqa: E402
import numpy as np  # noqa: E402

from preparation.errors import InputError, reason
from preparation.progress import file_size
from preparation.workplace import Workplace

# Bytes of one write; also what a reader of sources should hand over at a time.
SLAB_BYTES = 32 << 20

# Where every array begins, so that a reader may map it into memory whatever its type.
_ALIGNMENT = 64

# v108 lets attributes (a long list of classes) grow beyond 64 KiB; v110 is what Thaw reads.
_LIBRARY_VERSIONS = ("v108", "v110")


class ArrayWriter:
    """One contiguous dataset, filled from front to back; hashes what it writes."""

    def __init__(self, dataset: h5py.Dataset, output: str):
        self._dataset = dataset
        self._output = output
        self._filled = 0
        self._hash = hashlib.sha256()

    def append(self, rows: np.ndarray) -> None:
        """Writes the next rows, converted to the dataset's type (the caller sees that they fit)."""
        rows = np.ascontiguousarray(rows, dtype=self._dataset.dtype)
        if not len(rows):
            return
        try:
            self._dataset[self._filled : self._filled + len(rows)] = rows
        except (OSError, RuntimeError) as error:
            raise InputError(f"{self._output}: cannot be written: {reason(error)}") from error
        self._filled += len(rows)
        self._hash.update(rows)

    def line(self) -> str:
        """What a split's fingerprint is made of: name, type, shape and content of its array."""
        name = self._dataset.name.rsplit("/", 1)[-1]
        if self._filled != self._dataset.shape[0]:
            raise InputError(
                f"{self._dataset.name}: {self._filled:,} of {self._dataset.shape[0]:,} rows came: "
                "did an input file change while it was read?"
            )
        shape = ",".join(str(extent) for extent in self._dataset.shape)
        return f"{name} {self._dataset.dtype.str} {shape} {self._hash.hexdigest()}\n"


class DatasetFile:
    """The file in a workplace of its own, given its name by `commit`; without that, no trace is
    left. `inputs`: paths that it must not be.

    Fingerprint of a split (its attribute `fingerprint`): SHA-256 of the lines
    `NAME TYPE EXTENT,EXTENT… SHA256-OF-CONTENT`, one an array, sorted, types as numpy writes them.
    No time stamps: equal inputs, options and library versions give equal files.
    """

    def __init__(self, output: str, force: bool = False, inputs: Sequence[str] = ()):
        self._output = output
        self._force = force
        self._inputs = inputs
        self._place = Workplace(os.path.dirname(os.path.abspath(output)))
        self._file: h5py.File | None = None
        self._arrays: dict[str, list[ArrayWriter]] = {}

    def __enter__(self) -> DatasetFile:
        self._check_free()
        self._place.__enter__()
        try:
            self._file = h5py.File(
                self._part,
                "x",
                libver=_LIBRARY_VERSIONS,
                alignment_threshold=1,
                alignment_interval=_ALIGNMENT,
            )
        except OSError as error:
            self._discard()
            raise InputError(f"{self._output}: cannot be written: {reason(error)}") from error
        except BaseException:  # interrupted: `__exit__` is not called for a failed `__enter__`
            self._discard()
            raise
        return self

    def __exit__(self, *_) -> None:
        self._discard()

    @property
    def folder(self) -> str:
        """Where other temporary files may lie; on the output's file system."""
        return self._place.path

    @property
    def _part(self) -> str:
        return self._place.file("dataset")

    def array(self, split: str, name: str, dtype: str, shape: Sequence[int]) -> ArrayWriter:
        """Makes dataset `split/name`, contiguous and of final size."""
        group = self._file.require_group(split)
        dataset = group.create_dataset(name, shape=tuple(shape), dtype=np.dtype(dtype))
        writer = ArrayWriter(dataset, self._output)
        self._arrays.setdefault(split, []).append(writer)
        return writer

    def check_space(self, wanted: int) -> None:
        """Refuses a job that the disk cannot hold before hours are spent on it."""
        free = shutil.disk_usage(self.folder).free
        if wanted > free:
            raise InputError(
                f"{self._output}: needs {file_size(wanted)}, but its file system has only "
                f"{file_size(free)} free"
            )

    def commit(self, attributes: dict) -> int:
        """Writes fingerprints and attributes, gives the file its name; returns its size in bytes.

        Attributes: numbers, text, a list of text, an array, or a dict or list of dicts (as JSON).
        """
        try:
            for split, arrays in self._arrays.items():
                lines = "".join(sorted(array.line() for array in arrays))
                fingerprint = hashlib.sha256(lines.encode()).hexdigest()
                self._file[split].attrs["fingerprint"] = fingerprint
            for name, value in attributes.items():
                self._set(name, value)
            self._file.close()
            with open(self._part, "rb") as stream:
                os.fsync(stream.fileno())
            size = os.path.getsize(self._part)
            self._publish()
        except (OSError, RuntimeError) as error:
            raise InputError(f"{self._output}: cannot be written: {reason(error)}") from error
        return size

    def _publish(self) -> None:
        """Gives the finished file its name, in one step that never follows a link."""
        self._check_free()
        folder = os.path.dirname(os.path.abspath(self._output))
        if self._force:
            os.replace(self._part, self._output)
        else:
            try:
                os.link(self._part, self._output)  # fails where another run was faster
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                os.rename(self._part, self._output)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        except OSError as error:  # which some network file systems cannot
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(descriptor)

    def _set(self, name: str, value) -> None:
        if isinstance(value, dict) or (isinstance(value, list) and isinstance(value[0], dict)):
            # Only what stands in a class's name is kept byte by byte; JSON has to be UTF-8.
            text = json.dumps(value, ensure_ascii=False)
            value = text.encode("utf-8", "replace").decode()
        if isinstance(value, list):
            held = [text.encode("utf-8", "surrogateescape") for text in value]
            text = h5py.string_dtype("utf-8")
            self._file.attrs.create(name, np.array(held, dtype=object), dtype=text)
        else:
            self._file.attrs[name] = value

    def _check_free(self) -> None:
        """Refuses an output that is there already or can be no file; looks at links themselves."""
        if not os.path.basename(self._output):
            raise InputError(f"--output {self._output!r}: names no file")
        try:
            mode = os.lstat(self._output).st_mode
        except FileNotFoundError:
            folder = os.path.dirname(os.path.abspath(self._output))
            if not os.path.isdir(folder):
                raise InputError(f"{self._output}: folder {folder} does not exist") from None
            return
        except (OSError, ValueError) as error:
            raise InputError(f"{self._output}: cannot be written: {reason(error)}") from error
        if stat.S_ISLNK(mode):
            with contextlib.suppress(OSError):  # to nowhere
                mode = os.stat(self._output).st_mode
            if stat.S_ISLNK(mode) or stat.S_ISREG(mode) or stat.S_ISDIR(mode):
                raise InputError(
                    f"{self._output}: is a link, which is not followed; name its target"
                )
        if stat.S_ISDIR(mode):
            raise InputError(f"{self._output}: is a folder; name a file")
        if not stat.S_ISREG(mode):
            raise InputError(
                f"{self._output}: is a device or a pipe, which cannot hold an HDF5 file (it is not "
                "written from front to back); name a file"
            )
        for path in self._inputs:
            with contextlib.suppress(OSError, ValueError):
                if os.path.samefile(path, self._output):
                    raise InputError(f"{self._output}: is an input too ({path}); name another file")
        if not self._force:
            raise InputError(f"{self._output}: exists; give --force to replace it")

    def _discard(self) -> None:
        if self._file is not None:
            # A full disk shows here again; the error that matters is already on its way.
            with contextlib.suppress(OSError, RuntimeError):
                self._file.close()
        self._place.__exit__()
