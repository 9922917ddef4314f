"""Files of prompts and what follows them: tokens, offsets, prompt_lengths."""

from __future__ import annotations

import os
from dataclasses import dataclass

import h5py
import numpy as np


@dataclass
class Prompts:
    tokens: np.ndarray  # int32 [total]
    offsets: np.ndarray  # int64 [samples + 1]
    prompt_lengths: np.ndarray  # int32 [samples]

    def __len__(self) -> int:
        return len(self.prompt_lengths)

    def rows(self, index: int) -> np.ndarray:
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    def counted(self) -> np.ndarray:
        """Of each sample, how many tokens' losses count: those behind the prompt, never the first."""
        return np.maximum(self.lengths() - np.maximum(self.prompt_lengths, 1), 0)

    def take(self, indices: np.ndarray) -> Prompts:
        parts = [self.rows(index) for index in indices]
        offsets = np.concatenate([[0], np.cumsum(self.lengths()[indices])])
        return Prompts(np.concatenate(parts), offsets.astype(np.int64), self.prompt_lengths[indices])


def read(path: str, split: str = "train") -> Prompts:
    with h5py.File(path, "r") as file:
        group = file[split]
        return Prompts(group["tokens"][:], group["offsets"][:], group["prompt_lengths"][:])


def write(path: str, **splits: Prompts) -> None:
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with h5py.File(path, "w") as file:
        for split, prompts in splits.items():
            group = file.create_group(split)
            group["tokens"] = prompts.tokens.astype(np.int32)
            group["offsets"] = prompts.offsets
            group["prompt_lengths"] = prompts.prompt_lengths.astype(np.int32)


def chains(samples: int, vocabulary: int, seed: int) -> Prompts:
    """Random prompts, in whose answers each token follows from the one before it, some by chance."""
    draws = np.random.default_rng(seed)
    rows, lengths = [], []
    for _ in range(samples):
        row = list(draws.integers(0, vocabulary, draws.integers(1, 6)))
        lengths.append(len(row))
        for _ in range(draws.integers(2, 24)):
            follows = (5 * row[-1] + 3) % vocabulary
            row.append(follows if draws.random() < 0.8 else draws.integers(vocabulary))
        rows.append(np.array(row, np.int32))
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return Prompts(np.concatenate(rows), offsets.astype(np.int64), np.array(lengths, np.int32))
