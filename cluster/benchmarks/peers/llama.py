"""Llama in plain PyTorch, without padding: tokens of all samples one after another, attention a
sample at a time, logits only where they count. Named as Hugging Face's files name it."""

from __future__ import annotations

import json
import os

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from measuring.prompts import Prompts


class Attention(nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        width, self.heads = config["hidden_size"], config["num_attention_heads"]
        self.key_heads = config["num_key_value_heads"]
        self.size = config.get("head_dim") or width // self.heads
        self.q_proj = nn.Linear(width, self.heads * self.size, bias=False)
        self.k_proj = nn.Linear(width, self.key_heads * self.size, bias=False)
        self.v_proj = nn.Linear(width, self.key_heads * self.size, bias=False)
        self.o_proj = nn.Linear(self.heads * self.size, width, bias=False)

    def forward(self, hidden, angles, lengths):
        queries = rotated(self.q_proj(hidden).view(-1, self.heads, self.size), angles)
        keys = rotated(self.k_proj(hidden).view(-1, self.key_heads, self.size), angles)
        values = self.v_proj(hidden).view(-1, self.key_heads, self.size)
        parts = zip(*(each.split(lengths) for each in (queries, keys.to(values), values)))
        attended = [
            functional.scaled_dot_product_attention(
                *(each.transpose(0, 1)[None] for each in (q.to(v), k, v)),
                is_causal=True,
                enable_gqa=self.heads != self.key_heads,
            )[0].transpose(0, 1)
            for q, k, v in parts
        ]
        return self.o_proj(torch.cat(attended).flatten(1))


def rotated(heads, angles):
    first, second = heads.float().chunk(2, dim=-1)
    cosines, sines = (each[:, None] for each in angles)
    return torch.cat((first * cosines - second * sines, second * cosines + first * sines), -1)


class GatedFeedForward(nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        width, inner = config["hidden_size"], config["intermediate_size"]
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, hidden):
        return self.down_proj(functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden))


class Layer(nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        norm = (config["hidden_size"], config["rms_norm_eps"])
        self.self_attn, self.mlp = Attention(config), GatedFeedForward(config)
        self.input_layernorm, self.post_attention_layernorm = nn.RMSNorm(*norm), nn.RMSNorm(*norm)

    def forward(self, hidden, angles, lengths):
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), angles, lengths)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


class Decoder(nn.Module):
    """What Hugging Face's names call `model`."""

    def __init__(self, config: dict):
        super().__init__()
        width = config["hidden_size"]
        self.embed_tokens = nn.Embedding(config["vocab_size"], width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config["num_hidden_layers"]))
        self.norm = nn.RMSNorm(width, config["rms_norm_eps"])


class Llama(nn.Module):
    """With the head tied to the embeddings."""

    def __init__(self, config: dict):
        super().__init__()
        if not config.get("tie_word_embeddings"):
            raise ValueError("only models whose head is tied to their embeddings")
        self.model = Decoder(config)
        size = self.model.layers[0].self_attn.size
        places = torch.arange(config["max_position_embeddings"], dtype=torch.float64)
        theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
        turns = theta ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        self.angles = places[:, None] * turns

    def forward(self, tokens, lengths, counted):
        """Logits [counted, vocabulary] of the rows `counted` of tokens [total]."""
        places = torch.cat([torch.arange(length) for length in lengths])
        angles = [f(self.angles[places]).float() for f in (torch.cos, torch.sin)]
        hidden = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            hidden = layer(hidden, angles, lengths)
        hidden = self.model.norm(hidden)[counted]
        return functional.linear(hidden, self.model.embed_tokens.weight)

    def groups(self) -> dict[str, nn.Module]:
        """As Thaw names them, from input to output."""
        layers = {f"layers.{i}": layer for i, layer in enumerate(self.model.layers)}
        return {"embeddings": self.model.embed_tokens, **layers, "norm": self.model.norm}


def build(model: dict) -> Llama:
    """`model`: config, weights."""
    with open(model["config"]) as stream:
        result = Llama(json.load(stream))
    result.load_state_dict(load_file(model["weights"]))
    return result


def padded(model: dict) -> nn.Module:
    """transformers' own, as people load it, with the groups of the above."""
    import transformers  # takes seconds: only where it is used

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    result = transformers.AutoModelForCausalLM.from_pretrained(
        os.path.dirname(model["weights"]), dtype=torch.float32
    )
    result.groups = lambda: Llama.groups(result)
    return result


class PromptDataset(torch.utils.data.Dataset):
    """A sample: its token ids and the length of its prompt."""

    def __init__(self, prompts: Prompts):
        self.samples = [
            (torch.from_numpy(prompts.rows(i)).long(), int(prompts.prompt_lengths[i]))
            for i in range(len(prompts))
        ]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.samples[index]


def pack(samples: list[tuple[torch.Tensor, int]]) -> tuple[tuple, torch.Tensor]:
    """((tokens, lengths, counted), targets): no padding, logits only where the next token counts."""
    counted, targets, first = [], [], 0
    for tokens, prompt in samples:
        begin = max(prompt, 1)
        counted.append(torch.arange(first + begin - 1, first + len(tokens) - 1))
        targets.append(tokens[begin:])
        first += len(tokens)
    lengths = [len(tokens) for tokens, _ in samples]
    tokens = torch.cat([tokens for tokens, _ in samples])
    return (tokens, lengths, torch.cat(counted)), torch.cat(targets)


IGNORED = -100  # of cross_entropy


def pad(samples: list[tuple[torch.Tensor, int]]) -> tuple[tuple, torch.Tensor]:
    """((input_ids, attention_mask), labels), padded to the batch's own longest, labels as
    transformers take them: of each token itself, IGNORED where it does not count."""
    rows = [tokens for tokens, _ in samples]
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    labels = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORED)
    mask = torch.zeros_like(ids)
    for row, (tokens, prompt) in enumerate(samples):
        labels[row, :prompt] = IGNORED
        mask[row, : len(tokens)] = 1
    return (ids, mask), labels


def padded_loss(model: nn.Module, inputs: tuple, labels: torch.Tensor) -> torch.Tensor:
    ids, mask = inputs
    return model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
