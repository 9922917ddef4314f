"""Fine-tunes by gradual unfreezing in plain PyTorch and measures accuracy on the test split.

python -m peers.finetune_worker request.json result.json; measuring/finetune_job.py makes the
request.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional

from measuring import datasets, sample_order
from peers import bert, freezing

_PIECES = 3  # of a batch


class Trainer:
    def __init__(self, request: dict):
        self.request = request
        torch.set_num_threads(request["threads"])
        torch.manual_seed(request["seed"])
        self.device = torch.device(request["device"])
        self.model = bert.build(request["model"])
        if request["head"]:
            head = load_file(request["head"])
            self.model.head[1].load_state_dict({n: t.float() for n, t in head.items()})
        self.model.to(self.device)
        self.spared = freezing.spared_from_decay(self.model)
        texts = datasets.read_texts(request["file"])
        self.samples = bert.TextDataset(texts)
        self.lengths = texts.lengths()
        self.optimizer: torch.optim.Optimizer | None = None
        self.thawed: set[str] = set()
        self.epoch = 0
        self.losses: list[float] = []

    def run_stage(self, active: list[str]) -> None:
        freezing.activate(self.model, active, frozen_in_eval=True)
        self._thaw([name for name in active if name not in self.thawed])
        for _ in range(self.request["epochs"]):
            for batch in self._batches():
                self._step(batch)
            self.epoch += 1

    def _thaw(self, names: list[str]) -> None:
        """What thaws joins the optimizer, which keeps its state of the others."""
        for name in names:
            rate = self.request["head_rate" if name == "head" else "rate"]
            parameters = list(self.model.groups()[name].parameters())
            for spared in (False, True):
                members = [p for p in parameters if (p in self.spared) == spared]
                if not members:
                    continue
                decay = 0.0 if spared else self.request["weight_decay"]
                options = {"params": members, "lr": rate, "weight_decay": decay}
                if self.optimizer is None:
                    self.optimizer = torch.optim.AdamW([options], fused=True)
                else:
                    self.optimizer.add_param_group(options)
        self.thawed.update(names)

    def _batches(self) -> Iterator[np.ndarray]:
        count, batch = len(self.samples), self.request["batch"]
        if self.request["order"] == "thaw":
            order = sample_order.epoch_order(count, self.request["seed"], self.epoch)
        else:
            order = torch.randperm(count).numpy()
        return (order[first : first + batch] for first in range(0, count, batch))

    def _logits(self, indices: np.ndarray, samples: bert.TextDataset):
        (ids, mask), labels = bert.pad([samples[i] for i in indices])
        return self.model(ids.to(self.device), mask.to(self.device)), labels.to(self.device)

    def _step(self, indices: np.ndarray) -> None:
        """The mean over the batch, summed up over pieces of similar length, which need less padding
        (half of a batch padded to its longest text is padding)."""
        self.optimizer.zero_grad()
        by_length = indices[np.argsort(self.lengths[indices], kind="stable")]
        total = 0.0
        for piece in np.array_split(by_length, min(_PIECES, len(by_length))):
            logits, labels = self._logits(piece, self.samples)
            loss = functional.cross_entropy(logits, labels, reduction="sum") / len(indices)
            loss.backward()
            total += loss.item()
        self.optimizer.step()
        self.losses.append(total)

    @torch.no_grad()
    def test(self) -> dict:
        self.model.eval()
        texts = datasets.read_texts(self.request["file"], "test")
        samples = bert.TextDataset(texts)
        by_length = np.argsort(texts.lengths(), kind="stable")
        right, loss = 0, 0.0
        for indices in np.array_split(by_length, max(1, len(texts) // 128)):
            logits, labels = self._logits(indices, samples)
            right += int((logits.argmax(1) == labels).sum())
            loss += functional.cross_entropy(logits, labels, reduction="sum").item()
        return {"accuracy": right / len(texts), "loss": loss / len(texts)}


def main(question: str, answer: str) -> None:
    with open(question) as stream:
        request = json.load(stream)
    trainer = Trainer(request)
    started = time.monotonic()
    for active in request["stages"]:
        trainer.run_stage(active)
    result = {"seconds": time.monotonic() - started, "losses": trainer.losses}
    if "test" in datasets.splits(request["file"]):
        result |= trainer.test()
    with open(answer, "w") as stream:
        json.dump(result, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
