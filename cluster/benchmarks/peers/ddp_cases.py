"""What people do with DistributedDataParallel, a function a row of the table in dist/README.md.

Each takes (torch, rank), runs on two ranks of a gloo group, and returns gradients (or other
tensors) with those that are right: what one process with the whole batch gets. A text is an outcome
in words. Here rows 1 to 21, about steps; the others are in ddp_wrap_cases.py.
"""

from __future__ import annotations

from contextlib import nullcontext

from peers.ddp_loop import (
    Branch,
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
