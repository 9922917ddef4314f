"""BERT with mean pooling, dropout and a linear head, in plain PyTorch: Thaw's `bert` with
`pooling = "mean"`, and what transformers' BertModel computes with its default attention
(scaled_dot_product_attention). Parameters have transformers' names."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Keys of Hugging Face's config.json."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    vocab_size: int = 30522
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12

    def config(self) -> str:
        """config.json."""
        fixed = {"model_type": "bert", "hidden_act": "gelu", "pad_token_id": 0,
                 "initializer_range": 0.02, "hidden_dropout_prob": 0.1,
                 "attention_probs_dropout_prob": 0.1}  # fmt: skip
        return json.dumps(asdict(self) | fixed, indent=1)


MINILM = Shape(384, 6, 12, 1536)
BERT_BASE = Shape(768, 12, 12, 3072)
SMALL = Shape(64, 3, 2, 128, vocab_size=300, max_position_embeddings=64)


class Embeddings(nn.Module):
    def __init__(self, shape: Shape, dropout: float):
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocab_size, shape.hidden_size, padding_idx=0)
        self.position_embeddings = nn.Embedding(shape.max_position_embeddings, shape.hidden_size)
        self.token_type_embeddings = nn.Embedding(shape.type_vocab_size, shape.hidden_size)
        self.LayerNorm = nn.LayerNorm(shape.hidden_size, shape.layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        hidden = self.word_embeddings(ids) + self.position_embeddings(places)
        return self.dropout(self.LayerNorm(hidden + self.token_type_embeddings.weight[0]))


class Layer(nn.Module):
    def __init__(self, shape: Shape, dropout: float, attention_dropout: float):
        super().__init__()
        width, norm = shape.hidden_size, shape.layer_norm_eps
        heads = {name: nn.Linear(width, width) for name in ("query", "key", "value")}
        self.attention = nn.ModuleDict(
            {"self": nn.ModuleDict(heads), "output": _output(width, width, norm)}
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, shape.intermediate_size)})
        self.output = _output(shape.intermediate_size, width, norm)
        self.dropout = nn.Dropout(dropout)
        self.heads, self.attention_dropout = shape.num_attention_heads, attention_dropout

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        own = self.attention["self"]
        query, key, value = (
            own[name](hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        dropout = self.attention_dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, mask, dropout)
        hidden = self._close(self.attention["output"], mixed.transpose(1, 2).flatten(2), hidden)
        inner = functional.gelu(self.intermediate["dense"](hidden))
        return self._close(self.output, inner, hidden)

    def _close(self, part: nn.ModuleDict, x: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        return part["LayerNorm"](self.dropout(part["dense"](x)) + before)


def _output(inputs: int, width: int, norm: float) -> nn.ModuleDict:
    return nn.ModuleDict(
        {"dense": nn.Linear(inputs, width), "LayerNorm": nn.LayerNorm(width, norm)}
    )


class Bert(nn.Module):
    def __init__(self, shape: Shape, classes: int, dropout: float):
        super().__init__()
        self.embeddings = Embeddings(shape, dropout)
        layers = (Layer(shape, dropout, dropout) for _ in range(shape.num_hidden_layers))
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(shape.hidden_size, classes)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, ids: torch.Tensor, real: torch.Tensor | None = None) -> torch.Tensor:
        """`ids`: [texts, longest]. `real`: which of them are no padding, likewise; None: all."""
        mask = None if real is None else real[:, None, None, :]
        hidden = self.embeddings(ids)
        for layer in self.encoder["layer"]:
            hidden = layer(hidden, mask)
        if real is None:
            pooled = hidden.mean(1)
        else:
            weight = real.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * weight).sum(1) / weight.sum(1)
        return self.classifier(self.dropout(pooled))

    def groups(self) -> dict[str, nn.Module]:
        """As Thaw names them, from input to output."""
        layers = {f"encoder.{i}": layer for i, layer in enumerate(self.encoder["layer"])}
        head = nn.ModuleList([self.dropout, self.classifier])
        return {"embeddings": self.embeddings, **layers, "head": head}
