"""The forms of PyTorch that Thaw is measured beside."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from peers import freezing
from torch import nn
from torch.nn import functional

from networks import jobs
from networks.batches import Batch

EAGER = "eager"  # as people write it: DistributedDataParallel, autocast, AdamW
FUSED = "fused"  # eager by someone who knows it well: no wrapper, fused AdamW, frozen parts in eval
COMPILED = "compile"  # the same under torch.compile
GRAPHS = "graphs"  # the same with its CUDA graphs: mode "reduce-overhead"
SIDES = (EAGER, FUSED, COMPILED, GRAPHS)
COMPILING = (COMPILED, GRAPHS)


_wrapping: dict = {"device_ids": [0]}


def device_of(name: str, null_gpu: bool = False) -> torch.device:
    """`null_gpu`: the GPU is one that computes nothing. It knows nothing of cuDNN's attention, and
    the sizes that DistributedDataParallel sends to other ranks and reads back are numbers."""
    if null_gpu:
        torch.backends.cuda.enable_cudnn_sdp(False)
        _wrapping.update(init_sync=False, find_unused_parameters=True)  # no sizes are sent so
    return torch.device(name, 0) if name == "cuda" else torch.device(name)


class Training:
    """One side of one job at one depth: the network and all that a step takes.

    `precision`: bfloat16 (autocast) or float32. Steps do not wait for the device.
    """

    def __init__(self, side: str, job: jobs.Job, depth: str, weights: str, *, precision: str,
                 dropout: float, rate: float, device: torch.device):  # fmt: skip
        tuned = side != EAGER
        self.side, self.job, self.device, self.precision = side, job, device, precision
        self._last = job.images and tuned  # channels last
        model = jobs.load(job.network, job.classes, dropout, weights).to(device)
        if self._last:
            model = model.to(memory_format=torch.channels_last)
        freezing.activate(model, job.depths[depth], frozen_in_eval=tuned)
        if tuned and precision == "bfloat16":
            freezing.cast_frozen_products(model, job.depths[depth])
        trained = [p for p in model.parameters() if p.requires_grad]
        self._optimizer = _optimizer(job, trained, rate, fused=tuned)
        self._model: Callable = _wrapped(side, model, ragged=job.data == "ragged")

    def step(self, batch: Batch) -> torch.Tensor:
        """The loss, still on the device."""
        if self.side == GRAPHS:
            torch.compiler.cudagraph_mark_step_begin()
        inputs, labels = self._moved(batch)
        self._optimizer.zero_grad()
        with self._autocast():
            loss = functional.cross_entropy(self._model(*inputs), labels)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def rest(self) -> None:
        """Lets its gradients go, which may lie in memory that graphs of others reuse."""
        self._optimizer.zero_grad()

    def ready(self, batch: Batch) -> Batch:
        """A batch as this side has it before the first step: pinned, in its layout, where tuned."""
        inputs, labels = batch
        if self._last:
            inputs = tuple(t.to(memory_format=torch.channels_last) for t in inputs)
        if self.side == EAGER or self.device.type != "cuda":
            return inputs, labels
        return tuple(t if t is None else t.pin_memory() for t in inputs), labels.pin_memory()

    def _moved(self, batch: Batch) -> Batch:
        inputs, labels = batch
        moved = tuple(t if t is None else t.to(self.device, non_blocking=True) for t in inputs)
        return moved, labels.to(self.device, non_blocking=True)

    def _autocast(self):
        if self.precision == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()


def _wrapped(side: str, model: nn.Module, ragged: bool) -> Callable:
    if side == EAGER:
        if next(model.parameters()).device.type != "cuda":
            return model
        return nn.parallel.DistributedDataParallel(model, **_wrapping)
    if side == COMPILED:
        return torch.compile(model, dynamic=True if ragged else None)
    if side == GRAPHS:
        return torch.compile(model, mode="reduce-overhead", dynamic=False)
    return model


def _optimizer(job: jobs.Job, trained: list, rate: float, fused: bool) -> torch.optim.Optimizer:
    more = {"fused": True} if fused else {}
    if job.images:
        return torch.optim.SGD(trained, rate, momentum=0.9, weight_decay=1e-4, **more)
    return torch.optim.AdamW(trained, rate, weight_decay=0.01, **more)


def start_group() -> None:
    """DistributedDataParallel wants a group, be it of one."""
    from torch import distributed

    if not distributed.is_initialized():
        distributed.init_process_group("nccl", store=distributed.HashStore(), rank=0, world_size=1)
