"""transformers' BertModel, mean pooling, dropout and a linear head: Thaw's `bert` with
`pooling = "mean"`."""

from __future__ import annotations

import os

import numpy as np
import torch
import transformers
from torch import nn

from measuring.datasets import Texts

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


class Classifier(nn.Module):
    def __init__(self, encoder: transformers.BertModel, dropout: float, classes: int):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(encoder.config.hidden_size, classes)
        )
        nn.init.normal_(self.head[1].weight, std=encoder.config.initializer_range)
        nn.init.zeros_(self.head[1].bias)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if attention_mask is None:
            pooled = hidden.mean(1)
        else:
            real = attention_mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * real).sum(1) / real.sum(1)
        return self.head(pooled)

    def groups(self) -> dict[str, nn.Module]:
        """As Thaw names them, from input to output."""
        layers = {f"encoder.{i}": layer for i, layer in enumerate(self.encoder.encoder.layer)}
        return {"embeddings": self.encoder.embeddings, **layers, "head": self.head}


def build(model: dict) -> Classifier:
    """`model`: weights, config, classes, attention, dropout, attention_dropout, head_dropout."""
    config = transformers.BertConfig.from_json_file(model["config"])
    config.hidden_dropout_prob = model["dropout"]
    config.attention_probs_dropout_prob = model["attention_dropout"]
    encoder = transformers.BertModel.from_pretrained(
        os.path.dirname(model["weights"]),
        config=config,
        add_pooling_layer=False,
        attn_implementation=model["attention"],
    )
    return Classifier(encoder.float(), model["head_dropout"], model["classes"])


class TextDataset(torch.utils.data.Dataset):
    """A sample: its token ids and its label."""

    def __init__(self, texts: Texts):
        self.samples = [torch.from_numpy(texts.rows(i).astype(np.int64)) for i in range(len(texts))]
        self.labels = texts.labels

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.samples[index], int(self.labels[index])


def pad(samples: list[tuple[torch.Tensor, int]]) -> tuple[tuple, torch.Tensor]:
    """A batch padded to its own longest: ((input_ids, attention_mask), labels)."""
    tokens = [sample for sample, _ in samples]
    ids = nn.utils.rnn.pad_sequence(tokens, batch_first=True)
    lengths = torch.tensor([len(row) for row in tokens])
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    return (ids, mask), torch.tensor([label for _, label in samples])


def without_idle_mask(batch: tuple[tuple, torch.Tensor]) -> tuple[tuple, torch.Tensor]:
    """Leaves the mask out where nothing is padded."""
    (ids, mask), labels = batch
    return (ids, None if bool(mask.all()) else mask), labels
