"""One rank of a Lightning job that thaws layers under DistributedDataParallel.

python -m peers.lightning_worker CALLBACK FOLDER: after each epoch, FOLDER/CALLBACK.jsonl gets how far
the ranks' weights are apart, by group. CALLBACK: backbone-finetuning or finetuning-scheduler.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings

import lightning
import torch
from lightning.pytorch.callbacks import BackboneFinetuning, Callback
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from peers.resnet import Block

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

EPOCHS = 4
GROUPS = ("head", "upper", "lower")  # in the order in which they thaw


class Network(lightning.LightningModule):
    """A small residual network; `backbone` is what Lightning's own callback freezes."""

    def __init__(self):
        super().__init__()
        lower = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), Block(16, 16, 1))
        upper = nn.Sequential(Block(16, 32, 2), Block(32, 64, 2))
        self.backbone = nn.ModuleDict({"lower": lower, "upper": upper})
        self.head = nn.Linear(64, 10)

    def group_of(self, name: str) -> str:
        return next(group for group in GROUPS if group in name)

    def forward(self, images):
        x = self.backbone["upper"](self.backbone["lower"](images))
        return self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))

    def training_step(self, batch, _):
        images, labels = batch
        return functional.cross_entropy(self(images), labels)

    def validation_step(self, batch, _):
        images, labels = batch
        self.log("val_loss", functional.cross_entropy(self(images), labels), sync_dist=True)

    def configure_optimizers(self):
        # The callbacks add what thaws later.
        return torch.optim.SGD((p for p in self.parameters() if p.requires_grad), lr=0.05)


class HeadFirst(BackboneFinetuning):
    """Lightning's own callback, as its documentation uses it: the backbone thaws at epoch 1."""

    def __init__(self):
        super().__init__(unfreeze_backbone_at_epoch=1, backbone_initial_lr=0.05, verbose=False)


class Distances(Callback):
    """Writes, after each epoch, the largest difference between two ranks' weights, by group."""

    def __init__(self, path: str):
        self.path = path

    def on_train_epoch_end(self, trainer, network):
        apart = dict.fromkeys(GROUPS, 0.0)
        for name, parameter in network.named_parameters():
            ranks = network.all_gather(parameter.detach())
            difference = float((ranks - ranks[0]).abs().max())
            group = network.group_of(name)
            apart[group] = max(apart[group], difference)
        if trainer.is_global_zero:
            frozen = {network.group_of(n) for n, p in network.named_parameters() if not p.requires_grad}
            trained = [group for group in GROUPS if group not in frozen]
            line = {"epoch": trainer.current_epoch, "trained": trained, "apart": apart}
            with open(self.path, "a") as stream:
                print(json.dumps(line), file=stream)


def scheduler(folder: str):
    from finetuning_scheduler import FinetuningScheduler

    path = os.path.join(folder, "schedule.yaml")
    if int(os.environ.get("LOCAL_RANK", "0")) == 0:
        with open(path, "w") as stream:
            for phase, group in enumerate(GROUPS):
                stream.write(f"{phase}:\n  max_transition_epoch: {phase + 1}\n  params:\n")
                names = [n for n, _ in Network().named_parameters() if f"{group}" in n]
                stream.writelines(f"  - {name}\n" for name in names)
    return FinetuningScheduler(ft_schedule=path, epoch_transitions_only=True, base_max_lr=0.05)


def data() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(256, 3, 32, 32, generator=generator)
    return TensorDataset(images, torch.randint(10, (256,), generator=generator))


def main(callback: str, folder: str) -> None:
    torch.set_num_threads(1)
    lightning.seed_everything(0, verbose=False)
    thaws = HeadFirst() if callback == "backbone-finetuning" else scheduler(folder)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        max_epochs=EPOCHS,
        callbacks=[thaws, Distances(os.path.join(folder, f"{callback}.jsonl"))],
        logger=False,
        enable_checkpointing=callback != "backbone-finetuning",
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        num_sanity_val_steps=0,
    )
    loader = DataLoader(data(), batch_size=16)
    trainer.fit(Network(), loader, DataLoader(data(), batch_size=64))


if __name__ == "__main__":
    main(*sys.argv[1:])
