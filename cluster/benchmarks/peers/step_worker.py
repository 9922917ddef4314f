"""Trains one stage for a number of steps and writes down how long each took.

python -m peers.step_worker request.json result.json; measuring/step_job.py makes the request.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable

import torch
from torch.nn import functional

from measuring import datasets, sample_order
from measuring.process_memory import peak_bytes, reset_peak
from measuring.sides import DDP_ZERO
from peers import freezing, ranks


def build(request: dict) -> tuple[torch.nn.Module, torch.utils.data.Dataset, Callable]:
    """The network, its dataset, and how samples become a batch."""
    model, path = request["model"], request["data"]["file"]
    if model["architecture"] == "bert":
        from peers import bert  # transformers takes seconds to import: only where it is used

        dataset = bert.TextDataset(datasets.read_texts(path))
        return bert.build(model), dataset, bert.pad
    if model["architecture"] == "llama":
        from measuring import prompts
        from peers import llama

        dataset = llama.PromptDataset(prompts.read(path))
        if request["form"] == "usual":
            return llama.padded(model), dataset, llama.pad
        return llama.build(model), dataset, llama.pack
    from peers import resnet

    return resnet.build(model), resnet.ImageDataset(datasets.read_images(path)), resnet.collate


def make_batches(request: dict, dataset, collate) -> Iterable:
    """`steps` batches in Thaw's order. The tuned form has them all ready in advance."""
    data = request["data"]
    order = sample_order.global_batches(len(dataset), data["batch"], data["seed"])
    chosen = [
        ranks.share(batch).tolist() for batch in itertools.islice(order, request["steps"])
    ]
    loader = torch.utils.data.DataLoader(dataset, batch_sampler=chosen, collate_fn=collate)
    if request["form"] == "usual":
        return loader
    ready = list(loader)
    if request["model"]["architecture"] == "bert":
        from peers import bert

        ready = [bert.without_idle_mask(batch) for batch in ready]
    return ready


def make_optimizer(request: dict, model: torch.nn.Module) -> torch.optim.Optimizer:
    options = request["optimizer"]
    trainable = ranks.optimized_parameters(request, model)
    fused = {"fused": True} if request["form"] == "tuned" else {}
    if options["name"] == "sgd":
        return torch.optim.SGD(
            trainable,
            options["learning_rate"],
            momentum=options["momentum"],
            weight_decay=options["weight_decay"],
            **fused,
        )
    rates = {"lr": options["learning_rate"], "weight_decay": options["weight_decay"]}
    if request["side"] == DDP_ZERO and request["ranks"] > 1:
        from torch.distributed.optim import ZeroRedundancyOptimizer

        return ZeroRedundancyOptimizer(trainable, torch.optim.AdamW, **rates, **fused)
    return torch.optim.AdamW(trainable, **rates, **fused)


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Of this rank's part of the optimizer's tensors."""
    held = getattr(optimizer, "optim", optimizer)  # ZeroRedundancyOptimizer's own
    tensors = [value for state in held.state.values() for value in state.values()
               if isinstance(value, torch.Tensor) and value.dim() > 0]  # fmt: skip
    return sum(getattr(each, "_local_tensor", each).nbytes for each in tensors)


def precision_of(request: dict):
    if request["precision"] == "bfloat16":
        return torch.autocast("cpu", torch.bfloat16)
    return contextlib.nullcontext()


def loss_of(model, inputs, labels, request: dict) -> torch.Tensor:
    if request["model"]["architecture"] == "llama" and request["form"] == "usual":
        from peers import llama

        return llama.padded_loss(model, inputs, labels)
    return functional.cross_entropy(model(*inputs), labels)


def train(model, optimizer, batches, request: dict) -> dict:
    step_seconds, losses, first_step_at = [], [], None
    source = iter(batches)
    for _ in range(request["steps"]):
        started = time.perf_counter()
        inputs, labels = next(source)
        optimizer.zero_grad()
        with precision_of(request):
            loss = loss_of(model, inputs, labels, request)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        step_seconds.append(time.perf_counter() - started)
        first_step_at = first_step_at or time.monotonic()
    return {"step_seconds": step_seconds, "losses": losses, "first_step_at": first_step_at}


def main(question: str, answer: str) -> None:
    with open(question) as stream:
        request = json.load(stream)
    ranks.start(request["ranks"])
    torch.set_num_threads(request["threads"])
    torch.manual_seed(request["data"]["seed"])
    model, dataset, collate = build(request)
    tuned = request["form"] == "tuned"
    freezing.activate(model, request["groups"], frozen_in_eval=tuned)
    if tuned and request["precision"] == "bfloat16":
        freezing.cast_frozen_products(model, request["groups"])
    model = ranks.shard(request, model)
    optimizer = make_optimizer(request, model)
    started = time.perf_counter()
    model = ranks.wrap(request, model)
    wrap_seconds = time.perf_counter() - started
    batches = make_batches(request, dataset, collate)
    del dataset  # ready batches need it no more
    reset_peak()
    result = train(model, optimizer, batches, request)
    result["peak_memory_bytes"] = peak_bytes()
    result["state_bytes"] = state_bytes(optimizer)
    result |= {"ranks": request["ranks"], "transition_seconds": wrap_seconds}
    ranks.end()
    if ranks.rank() > 0:
        return
    with open(answer, "w") as stream:
        json.dump(result, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
