"""Several ranks of one PyTorch job on this host, over gloo, and how they wrap their model.

Rank 0 is the process that was started; it starts the others with the same arguments.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import numpy as np
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from measuring.sides import DDP_RATE0, DDP_UNUSED, FSDP2
from peers import freezing

_others: list[subprocess.Popen] = []


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def start(ranks: int) -> None:
    """Makes all ranks of the job meet. Nothing to do for one."""
    if ranks == 1:
        return
    if "RANK" not in os.environ:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": "0"}
        os.environ["WORLD_SIZE"] = str(ranks)
        for other in range(1, ranks):
            _others.append(
                subprocess.Popen(
                    [sys.executable, "-m", "peers.step_worker", *sys.argv[1:]],
                    env={**os.environ, "RANK": str(other)},
                )
            )
    distributed.init_process_group("gloo")


def end() -> None:
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
    for other in _others:
        if other.wait() != 0:
            raise SystemExit(f"another rank ended with status {other.returncode}")


def share(batch: np.ndarray) -> np.ndarray:
    """This rank's part of a global batch."""
    if not distributed.is_initialized():
        return batch
    return np.array_split(batch, distributed.get_world_size())[distributed.get_rank()]


def optimized_parameters(request: dict, model: nn.Module) -> list:
    """What the optimizer is given, after the stage's groups were activated."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    if request["side"] != DDP_RATE0:
        return trainable
    frozen = [p for p in model.parameters() if not p.requires_grad]
    groups = [{"params": trainable}]
    if frozen:
        groups.append({"params": frozen, "lr": 0.0, "weight_decay": 0.0})
    return groups


def shard(request: dict, model: nn.Module) -> nn.Module:
    """As FSDP2 shards it, before the optimizer is made: a layer a unit, the rest with the root, where
    tied weights stay one. Every other side's model is left as it is."""
    if request["side"] != FSDP2 or request["ranks"] == 1:
        return model
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (request["ranks"],))
    for name, group in model.groups().items():
        if "." in name:
            fully_shard(group, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def wrap(request: dict, model: nn.Module) -> nn.Module:
    """The model as the job's form of DistributedDataParallel has it."""
    side = request["side"]
    if request["ranks"] == 1 or side == FSDP2:
        return model
    if side in (DDP_RATE0, DDP_UNUSED):
        # Wrapped when the job began, before anything was frozen.
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        wrapped = DistributedDataParallel(model, find_unused_parameters=side == DDP_UNUSED)
        if side == DDP_UNUSED:
            freezing.activate(model, request["groups"], frozen_in_eval=False)
        return wrapped
    if not any(p.requires_grad for p in model.parameters()):
        return model
    return DistributedDataParallel(model)
