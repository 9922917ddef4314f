"""What the cases of DistributedDataParallel share: a network, its data, and steps of two ranks."""

from __future__ import annotations

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
