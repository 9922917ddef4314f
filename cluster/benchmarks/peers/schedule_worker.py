"""Trains a decoder through stages in plain PyTorch, without dropout, and says its losses.

python -m peers.schedule_worker request.json result.json; language_agreement.py makes the request.
"""

from __future__ import annotations

import itertools
import json
import sys

import torch
from torch.nn import functional

from measuring import prompts, sample_order
from peers import freezing, llama


def validation_loss(model, samples: llama.PromptDataset, batch: int) -> float:
    """Nats a counted token."""
    total, counted = 0.0, 0
    with torch.no_grad():
        for first in range(0, len(samples), batch):
            last = min(first + batch, len(samples))
            inputs, targets = llama.pack([samples[i] for i in range(first, last)])
            total += functional.cross_entropy(model(*inputs), targets, reduction="sum").item()
            counted += len(targets)
    return total / counted


def optimizer_of(model, options: dict) -> torch.optim.Optimizer:
    """Over all parameters: one that is frozen has no gradient, keeps its state, and is left alone."""
    norms = [p for p in model.parameters() if p.dim() == 1]
    others = [p for p in model.parameters() if p.dim() > 1]
    return torch.optim.AdamW(
        [
            {"params": others, "weight_decay": options["weight_decay"]},
            {"params": norms, "weight_decay": 0.0},
        ],
        lr=options["learning_rate"],
    )


def main(question: str, answer: str) -> None:
    with open(question) as stream:
        request = json.load(stream)
    torch.set_num_threads(request["threads"])
    model, data = llama.build(request["model"]), request["data"]
    train, validation = (
        llama.PromptDataset(prompts.read(data["file"], split)) for split in ("train", "validation")
    )
    optimizer = optimizer_of(model, request["optimizer"])
    order = sample_order.global_batches(len(train), data["batch"], data["seed"])
    losses, after_stages = [], []
    for stage in request["stages"]:
        freezing.activate(model, stage["groups"], frozen_in_eval=False)
        for batch in itertools.islice(order, stage["steps"]):
            inputs, targets = llama.pack([train[i] for i in batch.tolist()])
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(*inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        after_stages.append(validation_loss(model, validation, data["batch"]))
    with open(answer, "w") as stream:
        json.dump({"losses": losses, "validation": after_stages}, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
