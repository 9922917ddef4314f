"""What people do with PyTorch's DistributedDataParallel, a function a row of the table in dist/README.md.

Each takes (torch, rank), runs on two ranks of a gloo group, and returns gradients (or other tensors)
with those that are right: what one process with the whole batch gets. A text is an outcome in words.
"""

from __future__ import annotations

import time
from contextlib import nullcontext

ROWS = 12


def data(torch, rows=ROWS):
    x = torch.arange(rows * 5, dtype=torch.float64).mul(0.7).sin().view(rows, 5)
    y = torch.arange(rows * 3, dtype=torch.float64).mul(0.3).cos().view(rows, 3)
    return x, y


def share(torch, rank, rows=ROWS):
    cut = rows // 2 if rows == ROWS else 5
    return tuple(t[:cut] if rank == 0 else t[cut:] for t in data(torch, rows))


def net(torch):
    torch.manual_seed(1)
    layers = [torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3)]
    return torch.nn.Sequential(*layers).double()


KEPT = []  # a wrapper that went before backward would average nothing, without a word


def wrapped(torch, module, **options):
    KEPT.append(torch.nn.parallel.DistributedDataParallel(module, **options))
    return KEPT[-1]


def loss_of(torch, module, x, y):
    return torch.nn.functional.mse_loss(module(x), y)


def gradients(module):
    return [None if p.grad is None else p.grad.clone() for p in module.parameters()]


def whole(torch, rows=ROWS, times=1):
    alone = net(torch)
    for _ in range(times):
        loss_of(torch, alone, *data(torch, rows)).backward()
    return gradients(alone)


def steps(torch, rank, change=lambda module, parallel: None, times=1, rows=ROWS, **options):
    """`times` plain steps after `change`; gradients add up."""
    module = net(torch)
    parallel = wrapped(torch, module, **options)
    change(module, parallel)
    for _ in range(times):
        loss_of(torch, parallel, *share(torch, rank, rows)).backward()
    return gradients(module), whole(torch, rows, times)


class Branch:
    """A module of two numbers, of which the second is used where told."""

    def __new__(cls, torch):
        class Module(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.first = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
                self.second = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))

            def forward(self, x, both):
                return x * self.first * self.second if both else x * self.first

        return Module()


def ones(torch):
    return torch.ones(2, 1, dtype=torch.float64)


def equal_shares(torch, rank):
    return steps(torch, rank)


def uneven_shares(torch, rank):
    return steps(torch, rank, rows=13)


def empty_share(torch, rank):
    module = net(torch)
    x, y = data(torch)
    x, y = (x, y) if rank == 0 else (x[:0], y[:0])
    loss_of(torch, wrapped(torch, module), x, y).backward()
    return gradients(module), whole(torch)


def overlap(torch, rank):
    sent, seen = [], []

    def hook(group, bucket):
        sent.append(bucket.index())
        return torch.distributed.all_reduce(bucket.buffer(), async_op=True).get_future().then(
            lambda future: future.value()[0] / 2
        )

    module = net(torch)
    parallel = wrapped(torch, module, bucket_cap_mb=1e-5)
    parallel.register_comm_hook(torch.distributed.group.WORLD, hook)
    module[0].weight.register_hook(lambda gradient: seen.append(len(sent)))
    for _ in range(3):
        sent.clear()
        loss_of(torch, parallel, *share(torch, rank)).backward()
    return "yes, in mid-backward" if seen[-1] > 0 else "no"


def weights_at_start(torch, rank):
    module = net(torch)
    with torch.no_grad():
        module[0].weight.add_(rank)
    wrapped(torch, module)
    return [module[0].weight.detach()], [net(torch)[0].weight.detach()]


def later_thaw(torch, rank):
    module = net(torch)
    module[0].requires_grad_(False)
    parallel = wrapped(torch, module)
    module[0].requires_grad_(True)
    loss_of(torch, parallel, *share(torch, rank)).backward()
    return gradients(module), whole(torch)


def gone_before_backward(torch, rank):
    module = net(torch)
    loss = loss_of(torch, wrapped(torch, module), *share(torch, rank))
    KEPT.clear()
    loss.backward()
    return gradients(module), whole(torch)


def frozen_behind_its_back(torch, rank):
    ours, right = steps(torch, rank, lambda module, _: module[0].requires_grad_(False), times=2)
    return ours[2:], right[2:]


def unused_parameter(torch, rank):
    module = Branch(torch)
    parallel = wrapped(torch, module)
    for _ in range(2):
        parallel(ones(torch), False).sum().backward()
    return "no error"


def unused_on_some_ranks(torch, rank):
    module = Branch(torch)
    wrapped(torch, module, find_unused_parameters=True)(ones(torch), rank == 0).sum().backward()
    return [module.second.grad], [torch.ones(1, dtype=torch.float64)]


def unused_on_all_ranks(torch, rank):
    module = Branch(torch)
    wrapped(torch, module, find_unused_parameters=True)(ones(torch), False).sum().backward()
    return [module.second.grad], [None]


def micro(torch, rank, cut, divided):
    module = net(torch)
    x, y = share(torch, rank)
    parallel = wrapped(torch, module)
    for part, context in ((slice(0, cut), parallel.no_sync()), (slice(cut, None), nullcontext())):
        with context:
            (loss_of(torch, parallel, x[part], y[part]) / (2 if divided else 1)).backward()
    return gradients(module), whole(torch)


def micro_batches(torch, rank):
    return micro(torch, rank, 3, True)


def uneven_micro_batches(torch, rank):
    return micro(torch, rank, 2, True)


def no_zero_grad(torch, rank):
    return steps(torch, rank, times=2)


def two_forwards(torch, rank):
    module = net(torch)
    parallel = wrapped(torch, module)
    x, y = share(torch, rank)
    (loss_of(torch, parallel, x, y) + loss_of(torch, parallel, x, y)).backward()
    return gradients(module), whole(torch, times=2)


def forward_without_backward(torch, rank):
    def look(_, parallel):
        if rank == 0:
            parallel(data(torch)[0])

    return steps(torch, rank, look, times=2)


def output_is_the_loss(torch, rank):
    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net(torch)

        def forward(self, x, y):
            return loss_of(torch, self.inner, x, y)

    module = Loss()
    wrapped(torch, module)(*share(torch, rank)).backward()
    return gradients(module), whole(torch)


def several_outputs(torch, rank):
    class Pair(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net(torch)

        def forward(self, x, name):
            return {name: (self.inner(x), 3)}

    module = Pair()
    x, y = share(torch, rank)
    torch.nn.functional.mse_loss(wrapped(torch, module)(x, "out")["out"][0], y).backward()
    return gradients(module), whole(torch)


def autograd_grad(torch, rank):
    module = net(torch)
    loss = loss_of(torch, wrapped(torch, module), *share(torch, rank))
    return list(torch.autograd.grad(loss, list(module.parameters()))), whole(torch)


def penalised(torch, module, x, y):
    x = x.clone().requires_grad_(True)
    output = module(x)
    slope = torch.autograd.grad(output.sum(), x, create_graph=True)[0]
    return torch.nn.functional.mse_loss(output, y) + slope.square().mean()


def gradient_penalty(torch, rank):
    module, alone = net(torch), net(torch)
    penalised(torch, wrapped(torch, module), *share(torch, rank)).backward()
    penalised(torch, alone, *data(torch)).backward()
    return gradients(module), gradients(alone)


def masked_gradient(torch, rank):
    def mask(module, _):
        def change(parameter):
            parameter.grad = parameter.grad * 0.5

        module[0].weight.register_post_accumulate_grad_hook(change)

    ours, right = steps(torch, rank, mask)
    return ours, [right[0] * 0.5, *right[1:]]


def dropped_in_mid_step(torch, rank):
    module = Branch(torch)
    parallel = wrapped(torch, module, find_unused_parameters=True)
    with parallel.no_sync():
        parallel(ones(torch), True).sum().backward()
    module.zero_grad()
    parallel(ones(torch), False).sum().backward()
    return [module.second.grad], [None]


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
    module, alone = torch.nn.SyncBatchNorm.convert_sync_batchnorm(with_norm(torch)), with_norm(torch)
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
    return "exact over 200 steps" if error < 1e-4 else f"off by {error:.1g} over 200 steps, no error"


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
