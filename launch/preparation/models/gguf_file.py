"""A GGUF file: its metadata, and where its tensors lie (format: ggml's gguf.md, versions 2 and 3).

PyPI's gguf knows how numbers are packed; its reader believes what a file says of its own sizes,
so the file is read here, where every size is checked before anything is made of it.
"""

from __future__ import annotations

import dataclasses
import math
import os
import struct
from typing import BinaryIO

import gguf
import numpy as np

from preparation import limits
from preparation.errors import InputError, reason
from preparation.inputs import kind_of, open_regular

_VERSIONS = (2, 3)
_MOST_TENSORS, _MOST_KEYS, _NAME = 1 << 16, 1 << 16, 1 << 16
_MOST_DIMENSIONS = 4
_STRING, _ARRAY, _BOOL = 8, 9, 7
# By type of a value: how struct has it.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}


@dataclasses.dataclass
class PackedTensor:
    name: str
    shape: tuple[int, ...]  # the innermost last, as numpy and torch have it
    kind: gguf.GGMLQuantizationType
    start: int  # in the file
    size: int  # in bytes

    @property
    def count(self) -> int:
        return math.prod(self.shape)


class GgufFile:
    """`metadata` by key, `tensors` by name; a context manager, inside which `values` reads."""

    def __init__(self, path: str):
        self.path = path
        self._opened = open_regular(path)
        self.metadata: dict = {}
        self.tensors: dict[str, PackedTensor] = {}

    def __enter__(self) -> GgufFile:
        self._stream: BinaryIO = self._opened.__enter__()
        try:
            self._size = os.fstat(self._stream.fileno()).st_size
            self._read_head()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *error) -> None:
        self._opened.__exit__(*error)

    def values(self, tensor: PackedTensor) -> np.ndarray:
        """A tensor's numbers as float32, in its shape."""
        self._stream.seek(tensor.start)
        packed = np.frombuffer(self._take(tensor.size, tensor.name), dtype=np.uint8)
        try:
            with np.errstate(all="ignore"):
                numbers = gguf.dequantize(packed.reshape(*tensor.shape[:-1], -1), tensor.kind)
        except (NotImplementedError, ValueError) as error:
            raise InputError(f"{self.path}: {tensor.name}: {reason(error)}") from error
        if not np.isfinite(numbers).all():
            raise InputError(f"{self.path}: {tensor.name}: holds numbers that are not finite")
        return np.ascontiguousarray(numbers, dtype=np.float32).reshape(tensor.shape)

    def _read_head(self) -> None:
        magic = self._stream.read(4)
        if magic != b"GGUF":
            kind = kind_of(magic + self._stream.read(32))
            raise InputError(f"{self.path}: is no GGUF file{f'; it is {kind}' if kind else ''}")
        version = self._number("I", "version")
        if version not in _VERSIONS:
            swapped = version & 0xFFFF == 0  # of the other order of bytes
            problem = "its bytes are in big-endian order" if swapped else f"is of version {version}"
            raise InputError(f"{self.path}: {problem}; versions 2 and 3, little-endian, are read")
        tensors, keys = self._number("Q", "tensor count"), self._number("Q", "key count")
        if tensors > _MOST_TENSORS or keys > _MOST_KEYS:
            raise InputError(f"{self.path}: claims {tensors:,} tensors and {keys:,} keys")
        for _ in range(keys):
            key = self._text("a key", _NAME)
            if key in self.metadata:
                raise InputError(f"{self.path}: key {key!r} comes twice")
            self.metadata[key] = self._value(self._number("I", key), key)
        infos = [self._tensor() for _ in range(tensors)]
        self._place(infos)

    def _tensor(self) -> PackedTensor:
        name = self._text("a tensor's name", _NAME)
        dimensions = self._number("I", name)
        if not 1 <= dimensions <= _MOST_DIMENSIONS:
            raise InputError(f"{self.path}: {name}: has {dimensions:,} dimensions")
        shape = tuple(reversed([self._number("Q", name) for _ in range(dimensions)]))
        number = self._number("I", name)
        try:
            kind = gguf.GGMLQuantizationType(number)
            block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        except (ValueError, KeyError):
            raise InputError(
                f"{self.path}: {name}: numbers of type {number}, which gguf "
                "(pip install --upgrade gguf) does not know"
            ) from None
        if min(shape) < 1 or shape[-1] % block:
            raise InputError(f"{self.path}: {name}: is {shape}, in blocks of {block} numbers")
        size = math.prod(shape) // block * block_bytes
        return PackedTensor(name, shape, kind, self._number("Q", name), size)

    def _place(self, infos: list[PackedTensor]) -> None:
        """From offsets behind the head to places in the file, which must hold them all."""
        alignment = self.metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise InputError(f"{self.path}: general.alignment is {alignment!r}")
        start = -(-self._stream.tell() // alignment) * alignment
        for tensor in infos:
            if tensor.name in self.tensors:
                raise InputError(f"{self.path}: tensor {tensor.name!r} comes twice")
            tensor.start += start
            if tensor.start + tensor.size > self._size:
                raise InputError(
                    f"{self.path}: ends before its tensor {tensor.name} does "
                    f"(at {tensor.start + tensor.size:,} of {self._size:,} bytes): is it whole?"
                )
            self.tensors[tensor.name] = tensor

    def _value(self, kind: int, key: str, inner: bool = False):
        if kind == _STRING:
            return self._text(key, limits.WHOLE_FILE_BYTES)
        if kind == _ARRAY and not inner:
            return self._array(key)
        if kind not in _NUMBERS:
            raise InputError(f"{self.path}: {key}: a value of type {kind}, which is not known")
        value = self._number(_NUMBERS[kind], key)
        return bool(value) if kind == _BOOL else value

    def _array(self, key: str) -> list:
        kind, count = self._number("I", key), self._number("Q", key)
        if kind in _NUMBERS:
            size = struct.calcsize("<" + _NUMBERS[kind])
            content = self._take(count * size, key)
            values = np.frombuffer(content, np.dtype("<" + _NUMBERS[kind]))
            return values.astype(bool).tolist() if kind == _BOOL else values.tolist()
        if 8 * count > self._left():  # each string has its length
            raise InputError(f"{self.path}: {key}: claims {count:,} values: is it whole?")
        return [self._value(kind, key, inner=True) for _ in range(count)]

    def _text(self, what: str, most: int) -> str:
        length = self._number("Q", what)
        if length > most:
            raise InputError(f"{self.path}: {what}: claims {length:,} bytes of text")
        return self._take(length, what).decode("utf-8", "replace")

    def _number(self, code: str, what: str):
        size = struct.calcsize("<" + code)
        return struct.unpack("<" + code, self._take(size, what))[0]

    def _left(self) -> int:
        return self._size - self._stream.tell()

    def _take(self, size: int, what: str) -> bytes:
        if size > self._left():
            raise InputError(f"{self.path}: ends within {what}: is it whole?")
        content = self._stream.read(size)
        if len(content) != size:
            raise InputError(f"{self.path}: changed while it was read")
        return content
