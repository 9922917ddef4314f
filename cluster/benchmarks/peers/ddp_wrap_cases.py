"""As ddp_cases.py: rows 22 to 38, about endings, wrapping, layers and types."""

from __future__ import annotations

import time

from peers.ddp_loop import (
    KEPT,
    data,
    gradients,
    loss_of,
    net,
    ones,
    share,
    steps,
    whole,
    wrapped,
)


def failing_backward(torch, rank, module, parallel):
    handle = None
    if rank == 1:
        handle = module[0].weight.register_hook(lambda gradient: 1 / 0)
    try:
        loss_of(torch, parallel, *share(torch, rank)).backward()
    except ZeroDivisionError:
        pass
    if handle:
        handle.remove()
    module.zero_grad()


def exception_in_backward(torch, rank):
    module = net(torch)
    parallel = wrapped(torch, module)
    failing_backward(torch, rank, module, parallel)
    loss_of(torch, parallel, *share(torch, rank)).backward()
    return gradients(module), whole(torch)


def end_in_mid_step(torch, rank):
    module = net(torch)
    parallel = wrapped(torch, module, bucket_cap_mb=1e-5)
    handle = module[0].weight.register_hook(lambda gradient: 1 / 0)  # on all ranks
    try:
        loss_of(torch, parallel, *share(torch, rank)).backward()
    except ZeroDivisionError:
        pass
    handle.remove()
    KEPT.clear()
    del parallel
    module.zero_grad()
    loss_of(torch, wrapped(torch, module), *share(torch, rank)).backward()
    return gradients(module), whole(torch)


def gone_before_backward(torch, rank):
    module = net(torch)
    loss = loss_of(torch, wrapped(torch, module), *share(torch, rank))
    KEPT.clear()
    loss.backward()
    return gradients(module), whole(torch)


def converted(torch, rank):
    module = net(torch).float()
    parallel = wrapped(torch, module)
    module.double()
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), net(torch).parameters()):
            parameter.copy_(value)
    loss_of(torch, parallel, *share(torch, rank)).backward()
    return gradients(module), whole(torch)


def wrapped_twice(torch, rank):
    module = net(torch)
    first = wrapped(torch, module)
    second = wrapped(torch, module)
    loss_of(torch, first, *share(torch, rank)).backward()
    module.zero_grad()
    loss_of(torch, second, *share(torch, rank)).backward()
    return gradients(module), whole(torch)


def other_options(torch, rank):
    return steps(torch, rank, times=3, find_unused_parameters=rank == 0)


def tied_weights(torch, rank):
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(5, 5, bias=False).double()
            self.second = torch.nn.Linear(5, 5, bias=False).double()
            torch.nn.init.constant_(self.first.weight, 0.1)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(self.first(x).tanh()).square().mean()

    module, alone = Tied(), Tied()
    wrapped(torch, module)(share(torch, rank)[0]).backward()
    alone(data(torch)[0]).backward()
    return gradients(module), gradients(alone)


def large_parameter(torch, rank):
    return steps(torch, rank, times=2, bucket_cap_mb=1e-5)


def unequal_loops(torch, rank):
    from torch.distributed.algorithms.join import Join

    module = net(torch)
    parallel = wrapped(torch, module)
    with Join([parallel], throw_on_early_termination=False):
        for _ in range(1 + rank):
            module.zero_grad()
            loss_of(torch, parallel, *data(torch)).backward()
    return (gradients(module), [g * 0.5 for g in whole(torch)]) if rank else "right"


def buffers(torch, rank):
    module = net(torch)
    module.register_buffer("seen", torch.zeros(1))
    parallel = wrapped(torch, module)
    module.seen.fill_(rank + 3.0)
    loss_of(torch, parallel, *share(torch, rank)).backward()
    return "rank 0's" if module.seen.item() == 3 else "each rank's own"


def with_norm(torch):
    torch.manual_seed(1)
    layers = [torch.nn.Linear(5, 7), torch.nn.BatchNorm1d(7), torch.nn.Linear(7, 3)]
    return torch.nn.Sequential(*layers).double()


def synchronized_norm(torch, rank):
    module = torch.nn.SyncBatchNorm.convert_sync_batchnorm(with_norm(torch))
    alone = with_norm(torch)
    loss_of(torch, wrapped(torch, module), *share(torch, rank)).backward()
    loss_of(torch, alone, *data(torch)).backward()
    return gradients(module), gradients(alone)


def norm_converter(torch, rank):
    module = torch.nn.Module()
    module.norm = torch.nn.BatchNorm1d(3)
    module = torch.nn.SyncBatchNorm.convert_sync_batchnorm(module)
    return "converted" if isinstance(module.norm, torch.nn.SyncBatchNorm) else "not converted"


def communication_hook(torch, rank):
    def hook(group, bucket):
        work = torch.distributed.all_reduce(bucket.buffer(), async_op=True)
        return work.get_future().then(lambda future: future.value()[0] / 2)

    return steps(
        torch, rank, lambda _, p: p.register_comm_hook(torch.distributed.group.WORLD, hook)
    )


def bfloat16_hook(torch, rank):
    from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

    module = torch.nn.Linear(64, 1, bias=False)
    parallel = wrapped(torch, module)
    parallel.register_comm_hook(None, default_hooks.bf16_compress_hook)
    right = torch.arange(1, 65).mul(0.01003).float()
    added = torch.zeros(64)
    for _ in range(200):
        module.zero_grad()
        parallel(right.view(1, 64)).sum().backward()
        added += module.weight.grad[0]
    error = ((added / 200 - right).abs() / right).max().item()
    off = f"off by {error:.1g} over 200 steps, no error"
    return "exact over 200 steps" if error < 1e-4 else off


def other_types(torch, rank):
    outcomes = []
    for kind in (torch.float16, torch.bfloat16, torch.complex64):
        module = torch.nn.Module()
        module.w = torch.nn.Parameter(torch.ones(3, dtype=kind))
        module.forward = lambda x, module=module: torch.view_as_real(
            module.w.to(torch.complex64) * x
        ).sum()
        try:
            wrapped(torch, module)(float(rank + 1)).backward()
            right = abs(complex(module.w.grad[0]).real - 1.5) < 1e-2
            outcomes.append(f"{str(kind)[6:]} {'right' if right else 'wrong'}")
        except RuntimeError as error:
            outcomes.append(f"{str(kind)[6:]} {str(error).splitlines()[0][:40]}")
    return "right" if all(one.endswith("right") for one in outcomes) else ", ".join(outcomes)


def sparse_gradient(torch, rank):
    module = torch.nn.Embedding(10, 2, sparse=True).double()
    wrapped(torch, module)(torch.tensor([rank])).sum().backward()
    right = torch.zeros(10, 2, dtype=torch.float64)
    right[:2] = 0.5
    return [module.weight.grad.to_dense()], [right]


def hanging_rank(torch, rank):
    if rank == 1:
        time.sleep(3600)
    return steps(torch, rank)
