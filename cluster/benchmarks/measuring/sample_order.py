"""Thaw's order of samples, so that PyTorch sees the same batches.

The same arithmetic as core/data/order/keyed_hash.h, keyed_permutation.h, sample_order.h and batch_plan.h,
for contiguous files, whose epochs are shuffled as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 0xFFFFFFFFFFFFFFFF
_ROUNDS, _ROUNDS_OF_FEW, _FEW = 12, 32, 256


def _mix64(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def keyed_hash(key: int, value: int) -> int:
    inner = int(_mix64(np.array([(key + _GOLDEN) & _MASK], np.uint64))[0])
    outer = (inner + value * _GOLDEN) & _MASK
    return int(_mix64(np.array([outer], np.uint64))[0])


def keyed_permutation(size: int, key: int) -> np.ndarray:
    """The whole permutation of [0, size) as an array: int64[size]."""
    bits = (size - 1).bit_length() if size > 1 else 0
    high_bits = bits // 2
    low_bits = np.uint64(bits - high_bits)
    low_mask = np.uint64((1 << int(low_bits)) - 1)
    high_mask = np.uint64((1 << high_bits) - 1)
    rounds = _ROUNDS if size > _FEW else _ROUNDS_OF_FEW
    round_keys = [np.uint64(keyed_hash(key, number)) for number in range(rounds)]

    def encrypt(x: np.ndarray) -> np.ndarray:
        low, high = x & low_mask, x >> low_bits
        for number in range(0, rounds, 2):
            high = high ^ (_mix64(low ^ round_keys[number]) >> np.uint64(32)) & high_mask
            low = low ^ (_mix64(high ^ round_keys[number + 1]) >> np.uint64(32)) & low_mask
        return high << low_bits | low

    result = encrypt(np.arange(size, dtype=np.uint64))
    while (outside := result >= size).any():
        result[outside] = encrypt(result[outside])
    return result.astype(np.int64)


def epoch_order(samples: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which epoch `epoch` visits the samples: int64[samples]."""
    return keyed_permutation(samples, keyed_hash(keyed_hash(0, seed), epoch))


def global_batches(samples: int, batch: int, seed: int) -> Iterator[np.ndarray]:
    """The samples of each step, epoch after epoch without end; an epoch's last may be short."""
    epoch = 0
    while True:
        order = epoch_order(samples, seed, epoch)
        for first in range(0, samples, batch):
            yield order[first : first + batch]
        epoch += 1
