"""HDF5 files of the benchmarks, which both sides read, and the reading for PyTorch's side."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

import h5py
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

CLS, SEP, FIRST_WORD, VOCABULARY = 101, 102, 1000, 30522  # of BERT's uncased vocabulary


@dataclass
class Texts:
    tokens: np.ndarray  # int32 [total]
    offsets: np.ndarray  # int64 [samples + 1]
    labels: np.ndarray  # int64 [samples]

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, index: int) -> np.ndarray:
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    def take(self, indices: np.ndarray) -> Texts:
        tokens = [self.rows(index) for index in indices]
        offsets = np.concatenate([[0], np.cumsum(self.lengths()[indices])])
        return Texts(np.concatenate(tokens), offsets.astype(np.int64), self.labels[indices])


@dataclass
class Images:
    inputs: np.ndarray  # uint8 [samples, channels, height, width]
    labels: np.ndarray  # int64 [samples]
    mean: np.ndarray  # a value a channel, in units of 0 to 1
    std: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def class_names(path: str) -> list[str]:
    with h5py.File(path, "r") as file:
        return file.attrs["classes"].astype(str).tolist() if "classes" in file.attrs else []


def splits(path: str) -> list[str]:
    with h5py.File(path, "r") as file:
        return list(file)


def read_texts(path: str, split: str = "train") -> Texts:
    with h5py.File(path, "r") as file:
        group = file[split]
        return Texts(group["tokens"][:], group["offsets"][:], group["labels"][:])


def read_images(path: str, split: str = "train") -> Images:
    with h5py.File(path, "r") as file:
        group = file[split]
        mean, std = (np.asarray(file.attrs[name], np.float32) for name in ("mean", "std"))
        return Images(group["inputs"][:], group["labels"][:], mean, std)


def _write(path: str, classes: list[str], splits: dict[str, dict], **attributes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with h5py.File(path, "w") as file:
        for split, arrays in splits.items():
            for name, array in arrays.items():
                file.create_dataset(f"{split}/{name}", data=array)
        if classes:
            text = h5py.string_dtype()
            file.attrs.create("classes", np.array(classes, object), dtype=text)
        for name, value in attributes.items():
            file.attrs[name] = value


def write_texts(path: str, classes: list[str], **splits: Texts) -> None:
    """Step times want a file with nothing but a train split: Thaw does not stop to evaluate."""
    arrays = {
        split: {"tokens": texts.tokens, "offsets": texts.offsets, "labels": texts.labels}
        for split, texts in splits.items()
    }
    _write(path, classes, arrays)


def write_images(path: str, classes: list[str], images: Images) -> None:
    arrays = {"inputs": images.inputs, "labels": images.labels}
    _write(path, classes, {"train": arrays}, mean=images.mean, std=images.std)


def random_texts(samples: int, length: int, classes: int, seed: int = 0) -> Texts:
    """All of `length` tokens, special tokens included."""
    draws = np.random.default_rng(seed)
    tokens = draws.integers(FIRST_WORD, VOCABULARY, (samples, length), dtype=np.int32)
    tokens[:, 0], tokens[:, -1] = CLS, SEP
    labels = draws.integers(0, classes, samples)
    return Texts(tokens.ravel(), np.arange(samples + 1, dtype=np.int64) * length, labels)


def random_images(samples: int, size: int, classes: int, seed: int = 0) -> Images:
    draws = np.random.default_rng(seed)
    inputs = draws.integers(0, 256, (samples, 3, size, size), dtype=np.uint8)
    half = np.full(3, 0.5, np.float64)
    return Images(inputs, draws.integers(0, classes, samples), half, half)


def random_lengths(
    samples: int, shortest: int, longest: int, vocabulary: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and offsets; lengths lean towards the short, as of real texts."""
    draws = np.random.default_rng(seed)
    lengths = shortest + (draws.beta(1.5, 4, samples) * (longest - shortest)).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return draws.integers(5, vocabulary, offsets[-1], dtype=np.int32), offsets


def random_file(
    path: str, kind: str, counts: dict[str, int], lengths: tuple[int, int], vocabulary: int
) -> str:
    """A file of random samples, so many of each split, unless it is there; returns its path.
    `kind`: "texts" with labels, "language" without, or "images-SIZE", to which `lengths` and
    `vocabulary` mean nothing."""
    if os.path.exists(path):
        return path
    splits, attributes = {}, {}
    for seed, (split, count) in enumerate(counts.items()):
        if kind.startswith("images-"):
            images = random_images(count, int(kind.partition("-")[2]), 10, seed)
            splits[split] = {"inputs": images.inputs, "labels": images.labels}
            attributes = {"mean": [0.5] * 3, "std": [0.25] * 3}
            continue
        tokens, offsets = random_lengths(count, *lengths, vocabulary, seed)
        splits[split] = {"tokens": tokens, "offsets": offsets}
        if kind == "texts":
            splits[split]["labels"] = np.random.default_rng(seed).integers(0, 20, count)
        else:
            attributes = {"task": "causal-lm"}
    _write(path + ".partial", [], splits, **attributes)
    os.replace(path + ".partial", path)
    return path


def some_texts(texts: Texts, samples: int, seed: int = 0) -> Texts:
    """`samples` of them at random, in the file's order (all where there are no more)."""
    if samples >= len(texts):
        return texts
    chosen = np.random.default_rng(seed).choice(len(texts), samples, replace=False)
    return texts.take(np.sort(chosen))


def real_share(texts: Texts, batches: list[np.ndarray]) -> float:
    """Share of tokens that are no padding where each batch is padded to its own longest."""
    lengths = texts.lengths()
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    return sum(lengths[batch].sum() for batch in batches) / padded


def prepare(output: str, *arguments: str) -> str:
    """Has launch/prepare.py make `output` unless it is there; returns its path."""
    if not os.path.exists(output):
        os.makedirs(os.path.dirname(output), exist_ok=True)
        script = os.path.join(ROOT, "launch", "prepare.py")
        subprocess.run([sys.executable, script, *arguments, "--output", output], check=True)
    return output


def some_images(images: Images, samples: int, seed: int = 0) -> Images:
    """`samples` of them at random (all where there are no more)."""
    count = min(samples, len(images))
    chosen = np.sort(np.random.default_rng(seed).choice(len(images), count, replace=False))
    return Images(images.inputs[chosen], images.labels[chosen], images.mean, images.std)
