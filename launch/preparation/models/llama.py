"""Llama's architecture in GGUF: its settings and tensors as Hugging Face names and orders them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from preparation.errors import InputError, listing
from preparation.models.gguf_file import GgufFile, PackedTensor

# Keys of GGUF that config.json has, and keys that say what needs no saying.
_SETTINGS = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
}
_KNOWN = {
    *_SETTINGS, "attention.head_count_kv", "attention.layer_norm_rms_epsilon", "rope.freq_base",
    "rope.dimension_count", "attention.key_length", "attention.value_length", "vocab_size",
}  # fmt: skip
# Settings that stand in many files, and the values with which they change nothing.
_IDLE = {"rope.scaling.type": "none", "expert_count": 0, "expert_used_count": 0}

_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@dataclasses.dataclass
class NamedTensor:
    """A tensor of the file under Hugging Face's name; `heads`: those that its rows are of, where
    they are stored permuted, else 0."""

    name: str
    packed: PackedTensor
    heads: int


class Llama:
    """Refuses, by name, what it does not know how to carry over."""

    def __init__(self, file: GgufFile):
        self._file = file
        self.path = file.path
        architecture = file.metadata.get("general.architecture")
        if architecture != "llama":
            raise InputError(
                f"{file.path}: is a model of architecture {architecture!r}; llama is imported"
            )
        for key, value in file.metadata.items():
            part = key.removeprefix("llama.")
            if part != key and part not in _KNOWN and _IDLE.get(part) != value:
                raise InputError(f"{file.path}: {key} is {value!r:.60}, which is not imported")
        self.config = self._config()
        self.tensors = list(self._tensors())

    def values(self, tensor: NamedTensor) -> np.ndarray:
        """A tensor as Hugging Face has it, float32."""
        values = self._file.values(tensor.packed)
        return _unpermuted(values, tensor.heads) if tensor.heads else values

    def _setting(self, key: str, kind: type = int, default=None):
        value = self._file.metadata.get(f"llama.{key}", default)
        if type(value) is not kind or not value > 0:
            raise InputError(f"{self._file.path}: llama.{key} is {value!r:.60}")
        return value

    def _config(self) -> dict:
        config = {name: self._setting(key) for key, name in _SETTINGS.items()}
        heads, width = config["num_attention_heads"], config["hidden_size"]
        size = self._setting("attention.key_length", default=width // heads)
        for key in ("rope.dimension_count", "attention.value_length"):
            if self._setting(key, default=size) != size:
                raise InputError(f"{self._file.path}: llama.{key} differs from the heads' {size}")
        key_heads = self._setting("attention.head_count_kv", default=heads)
        if heads % key_heads or size % 2:
            raise InputError(
                f"{self._file.path}: {heads} heads of size {size} on {key_heads} of keys"
            )
        metadata = self._file.metadata
        embedding = self._file.tensors.get("token_embd.weight")
        rows = embedding.shape[0] if embedding else 0
        config |= {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "head_dim": size,
            "num_key_value_heads": key_heads,
            "vocab_size": self._setting("vocab_size", default=rows),
            "rms_norm_eps": _shortest(self._setting("attention.layer_norm_rms_epsilon", float)),
            "rope_theta": _shortest(self._setting("rope.freq_base", float, 10000.0)),
            "rope_scaling": None,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": "output.weight" not in self._file.tensors,
            "torch_dtype": "float32",
        }
        for name in ("bos", "eos"):
            if isinstance(token := metadata.get(f"tokenizer.ggml.{name}_token_id"), int):
                config[f"{name}_token_id"] = token
        return config

    def _tensors(self) -> Iterator[NamedTensor]:
        """All of the model's, in its order: each is there, of the right shape, and no other is."""
        config, held = self.config, dict(self._file.tensors)
        width, inner = config["hidden_size"], config["intermediate_size"]
        heads, key_heads = config["num_attention_heads"], config["num_key_value_heads"]
        queries, keys = heads * config["head_dim"], key_heads * config["head_dim"]
        shapes = {
            "attn_norm": (width,), "attn_q": (queries, width), "attn_k": (keys, width),
            "attn_v": (keys, width), "attn_output": (width, queries), "ffn_norm": (width,),
            "ffn_gate": (inner, width), "ffn_up": (inner, width), "ffn_down": (width, inner),
        }  # fmt: skip

        def named(packed: str, name: str, shape: tuple[int, ...], permuted: int = 0) -> NamedTensor:
            tensor = held.pop(f"{packed}.weight", None)
            if tensor is None:
                raise InputError(f"{self._file.path}: has no tensor {packed}.weight")
            if tensor.shape != shape:
                raise InputError(
                    f"{self._file.path}: {packed}.weight is {tensor.shape}, not {shape}"
                )
            return NamedTensor(f"{name}.weight", tensor, permuted)

        vocabulary = (config["vocab_size"], width)
        yield named("token_embd", "model.embed_tokens", vocabulary)
        for layer in range(config["num_hidden_layers"]):
            for part, name in _LAYER.items():
                permuted = {"attn_q": heads, "attn_k": key_heads}.get(part, 0)
                name = f"model.layers.{layer}.{name}"
                yield named(f"blk.{layer}.{part}", name, shapes[part], permuted)
        yield named("output_norm", "model.norm", (width,))
        if not config["tie_word_embeddings"]:
            yield named("output", "lm_head", vocabulary)
        if held:
            raise InputError(f"{self._file.path}: has tensors that are not imported: {listing(held)}")


# Note [Permuted heads]
# llama.cpp rotates neighbouring rows of a head together, Hugging Face rows half a head apart, so its
# converter interleaves the halves of each head's rows in q and k. Here they go back. Left as they
# are, a model still answers short questions, since one token away little is rotated, and is wrong in
# everything longer.
def _unpermuted(values: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q or k in Hugging Face's order."""
    rows, width = values.shape
    return values.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)


def _shortest(value: float) -> float:
    """A float32 as the number that people wrote: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(value)))
