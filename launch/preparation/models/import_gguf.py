"""`import_gguf.py FILE.gguf DIR`: a GGUF file as a folder of Hugging Face's."""

from __future__ import annotations

import json
import os
import shutil
import struct

from preparation.errors import InputError, reason
from preparation.models.gguf_file import GgufFile
from preparation.models.gguf_tokenizer import tokenizer_config_of, tokenizer_of
from preparation.models.llama import Llama
from preparation.progress import Progress, file_size
from preparation.streams import say, shown
from preparation.workplace import Workplace

_WEIGHTS = "model.safetensors"


def import_gguf(source: str, folder: str) -> None:
    """Makes `folder`, which must not be there yet (or be empty), all or nothing."""
    if os.path.lexists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        raise InputError(f"{folder}: is there already; name a new folder")
    parent = os.path.dirname(os.path.abspath(folder))
    if not os.path.isdir(parent):
        raise InputError(f"{folder}: folder {parent} does not exist")
    with GgufFile(source) as file, Workplace(parent) as place:
        model = Llama(file)
        tokenizer = tokenizer_of(file)
        if tokenizer.get_vocab_size() > model.config["vocab_size"]:
            raise InputError(
                f"{source}: has {tokenizer.get_vocab_size():,} tokens and embeddings of "
                f"{model.config['vocab_size']:,}"
            )
        try:
            tokenizer.save(place.file("tokenizer.json"))
            _write_json(place.file("tokenizer_config.json"), tokenizer_config_of(file))
            _write_json(place.file("config.json"), model.config)
            size = _write_weights(place.file(_WEIGHTS), model)
            os.makedirs(folder, exist_ok=True)
            for name in ("tokenizer.json", "tokenizer_config.json", "config.json", _WEIGHTS):
                os.rename(place.file(name), os.path.join(folder, name))
        except OSError as error:
            raise InputError(f"{folder}: cannot be written: {reason(error)}") from error
    count = sum(tensor.packed.count for tensor in model.tensors)
    say(
        f"{shown(folder)}: {len(model.tensors)} tensors, {count:,} parameters, {file_size(size)}; "
        f"{tokenizer.get_vocab_size():,} tokens",
        output=True,
    )


def _write_json(path: str, value: dict) -> None:
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(value, stream, ensure_ascii=False, indent=2)
        stream.write("\n")


def _write_weights(path: str, model: Llama) -> int:
    """A safetensors file, a tensor at a time; its size in bytes."""
    head, end = {"__metadata__": {"format": "pt"}}, 0
    for tensor in model.tensors:
        size = 4 * tensor.packed.count
        head[tensor.name] = {
            "dtype": "F32",
            "shape": tensor.packed.shape,
            "data_offsets": [end, end + size],
        }
        end += size
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    free = shutil.disk_usage(os.path.dirname(path)).free
    if end > free:
        raise InputError(
            f"{model.path}: needs {file_size(end)} as float32; only {file_size(free)} are free"
        )
    with open(path, "wb") as stream, Progress("unpacking", len(model.tensors), "tensors") as told:
        stream.write(struct.pack("<Q", len(text)) + text)
        for tensor in model.tensors:
            stream.write(model.values(tensor).astype("<f4", copy=False).tobytes())
            told.add(1)
        stream.flush()
        os.fsync(stream.fileno())
    return os.path.getsize(path)
