"""Reads and writes safetensors with nothing but torch."""

from __future__ import annotations

import ctypes
import json
import struct

import torch

_TYPES = {
    "F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8,
}  # fmt: skip
_NAMES = {kind: name for name, kind in _TYPES.items()}


def read(path: str) -> dict[str, torch.Tensor]:
    with open(path, "rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
        data = bytearray(stream.read())
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        kind = _TYPES[entry["dtype"]]
        count = (end - begin) // kind.itemsize
        flat = torch.empty(0, dtype=kind)
        if count > 0:
            flat = torch.frombuffer(data, dtype=kind, count=count, offset=begin)
        found[name] = flat.reshape(entry["shape"])
    return found


def write(path: str, tensors: dict[str, torch.Tensor]) -> None:
    header, end = {}, 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }  # fmt: skip
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            whole = tensor.detach().cpu().contiguous()
            size = whole.numel() * whole.element_size()
            stream.write(ctypes.string_at(whole.data_ptr(), size) if size else b"")
