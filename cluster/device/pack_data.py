#!/usr/bin/env python3
"""Makes the bundle's data: each set as HDF5 for Thaw and as plain tensors for PyTorch.

pack_data.py FOLDER. The plain files also hold the order in which Thaw visits the samples, so that
nothing but torch is needed where they are read.
"""

from __future__ import annotations

import itertools
import json
import os
import struct
import sys

import h5py
import numpy as np

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "cluster", "benchmarks"))

from measuring import datasets, sample_order  # noqa: E402
from measuring.datasets import Images, Texts  # noqa: E402

CLASSES = 45  # WordNet's topics
STEPS = 64  # that the orders are written for
DTYPES = {np.dtype("int32"): "I32", np.dtype("int64"): "I64", np.dtype("uint8"): "U8",
          np.dtype("float32"): "F32"}  # fmt: skip


def write_tensors(path: str, tensors: dict[str, np.ndarray]) -> None:
    """As safetensors."""
    header, end = {}, 0
    for name, array in tensors.items():
        begin, end = end, end + array.nbytes
        shape = list(array.shape)
        header[name] = {
            "dtype": DTYPES[array.dtype], "shape": shape, "data_offsets": [begin, end]
        }  # fmt: skip
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            stream.write(np.ascontiguousarray(array).tobytes())


def orders(samples: int, batches: list[int]) -> dict[str, np.ndarray]:
    """The samples of the first steps, by the size of a batch; -1 where an epoch's last is short."""
    found = {}
    for batch in batches:
        rows = np.full((STEPS, batch), -1, np.int64)
        steps = sample_order.global_batches(samples, batch, seed=0)
        for row, chosen in zip(rows, itertools.islice(steps, STEPS)):
            row[: len(chosen)] = chosen
        found[f"order.{batch}"] = rows
    return found


def names(classes: int) -> list[str]:
    return [f"class {i}" for i in range(classes)]


def write_texts(
    folder: str, name: str, classes: int, texts: Texts, batches: list[int], **splits: Texts
) -> None:
    datasets.write_texts(os.path.join(folder, f"{name}.h5"), names(classes), train=texts, **splits)
    arrays = {"tokens": texts.tokens, "offsets": texts.offsets, "labels": texts.labels}
    write_tensors(os.path.join(folder, f"{name}.safetensors"), arrays | orders(len(texts), batches))


def write_images(folder: str, name: str, classes: int, images: Images, batches: list[int]) -> None:
    datasets.write_images(os.path.join(folder, f"{name}.h5"), names(classes), images)
    arrays = {"inputs": images.inputs, "labels": images.labels}
    arrays |= {key: np.asarray(getattr(images, key), np.float32) for key in ("mean", "std")}
    write_tensors(
        os.path.join(folder, f"{name}.safetensors"), arrays | orders(len(images), batches)
    )


def glosses(folder: str, samples: int) -> Texts:
    """Texts of real lengths, at most 32 tokens."""
    source = os.path.join(folder, "wordnet.h5")
    tokenizer = os.path.join(ROOT, "data", "minilm", "tokenizer.json")
    datasets.prepare(source, "wordnet", "--tokenizer", tokenizer, "--max-tokens", "32",
                     "--limit", "8000", "--limit-validation", "100")  # fmt: skip
    texts = datasets.read_texts(source)
    classes = len(datasets.class_names(source))
    assert classes <= CLASSES, classes
    os.unlink(source)
    return datasets.some_texts(texts, samples)


def coarse_images(samples: int, size: int, classes: int, seed: int = 0) -> Images:
    """Of few colours in large squares, so that they pack small; their mean tells the class."""
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, classes, samples)
    squares = (
        draws.integers(0, 120, (samples, 3, 7, 7)) + (labels * 120 // classes)[:, None, None, None]
    )
    inputs = np.kron(squares, np.ones((size // 7, size // 7), np.int64)).astype(np.uint8)
    half = np.full(3, 0.5)
    return Images(inputs, labels, half, half)


def small_texts(samples: int, seed: int) -> Texts:
    """3 to 19 tokens of 300; the first after [CLS] tells the class."""
    draws = np.random.default_rng(seed)
    labels = np.arange(samples, dtype=np.int64) % 6
    lengths = draws.integers(3, 20, samples)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = draws.integers(10, 300, offsets[-1], np.int32)
    tokens[offsets[:-1]] = 1
    tokens[offsets[:-1] + 1] = labels + 2
    return Texts(tokens, offsets, labels)


def write_prompts(folder: str, name: str, **splits: tuple[int, int]) -> None:
    """Texts of 4 to 19 tokens of 300, whose first 1 to 3 are a prompt; a split's samples, seed."""
    with h5py.File(os.path.join(folder, f"{name}.h5"), "w") as file:
        for split, (samples, seed) in splits.items():
            draws = np.random.default_rng(seed)
            lengths = draws.integers(4, 20, samples)
            offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
            file[f"{split}/offsets"] = offsets
            file[f"{split}/tokens"] = draws.integers(0, 300, offsets[-1], np.int32)
            file[f"{split}/prompt_lengths"] = draws.integers(1, 4, samples, np.int32)


def repeated(texts: Texts, times: int) -> Texts:
    """The same texts again and again, which pack small: a CUDA graph serves one epoch."""
    lengths = np.tile(texts.lengths(), times)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Texts(np.tile(texts.tokens, times), offsets, np.tile(texts.labels, times))


def main(folder: str) -> None:
    folder = os.path.abspath(folder)
    os.makedirs(folder, exist_ok=True)
    # An epoch of each has more steps than the part `steps` trains: 3 stages of 50.
    for name, batches, times, length, batch in (
        ("minilm-32x32", 24, 7, 32, 32),
        ("minilm-256x128", 6, 26, 128, 256),
        ("bert-32x128", 12, 14, 128, 32),
    ):
        texts = repeated(datasets.random_texts(batches * batch, length, CLASSES), times)
        write_texts(folder, name, CLASSES, texts, [batch])
    write_texts(folder, "ragged", CLASSES, glosses(folder, 64 * 24), [32, 64])
    write_images(folder, "resnet50", 10, coarse_images(128, 224, 10), [64])
    write_texts(folder, "small-texts", 6, small_texts(53, 0), [10], validation=small_texts(17, 1))
    write_prompts(folder, "small-prompts", train=(53, 0), validation=(17, 1))
    images = datasets.random_images(53, 32, 6)
    lighter = images.inputs // 2 + (images.labels * 20)[:, None, None, None].astype(np.uint8)
    write_images(
        folder, "small-images", 6, Images(lighter, images.labels, images.mean, images.std), [10]
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
