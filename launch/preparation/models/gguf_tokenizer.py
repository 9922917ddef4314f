"""The tokenizer of a GGUF file as tokenizer.json and tokenizer_config.json."""

from __future__ import annotations

import tokenizers
from tokenizers import decoders, pre_tokenizers, processors

from preparation.errors import InputError, reason
from preparation.models.gguf_file import GgufFile

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 1, 2, 3, 4, 5


def tokenizer_of(file: GgufFile) -> tokenizers.Tokenizer:
    """Byte-level BPE in which digits stand one by one, as SmolLM's; others are refused by name."""
    model, splits = (file.metadata.get(f"tokenizer.ggml.{name}") for name in ("model", "pre"))
    if model != "gpt2" or splits != "smollm":
        raise InputError(
            f"{file.path}: its tokenizer is {model!r} with words split as {splits!r}; byte-level BPE "
            "('gpt2') with digits one by one ('smollm') is imported"
        )
    tokens, merges = _list(file, "tokens", str), _list(file, "merges", str)
    kinds = _list(file, "token_type", int)
    if len(kinds) != len(tokens) or len(set(tokens)) != len(tokens):
        raise InputError(f"{file.path}: its tokens are not one name and one type each")
    pairs = [tuple(merge.split(" ")) for merge in merges]
    if any(len(pair) != 2 for pair in pairs):
        raise InputError(f"{file.path}: a merge of tokenizer.ggml.merges is no pair")
    try:
        numbers = {token: number for number, token in enumerate(tokens)}
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(numbers, pairs))
    except Exception as error:
        raise InputError(f"{file.path}: tokenizer.ggml.merges: {reason(error)}") from error
    for token, kind in zip(tokens, kinds):
        if kind in (_CONTROL, _UNKNOWN):
            tokenizer.add_special_tokens([tokenizers.AddedToken(token, normalized=False)])
        elif kind == _USER_DEFINED:
            tokenizer.add_tokens([tokenizers.AddedToken(token, normalized=False)])
        elif kind not in (_NORMAL, _UNUSED):
            raise InputError(f"{file.path}: token {token!r} is of type {kind}")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    if _flag(file, "add_bos_token"):
        begin = _special(file, tokens, "bos")
        if begin is None:
            raise InputError(f"{file.path}: add_bos_token, but no token that begins a text")
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A", pair=f"{begin} $A {begin}:1 $B:1",
            special_tokens=[(begin, tokens.index(begin))],
        )  # fmt: skip
    return tokenizer


def tokenizer_config_of(file: GgufFile) -> dict:
    """tokenizer_config.json: special tokens by name, and the chat template."""
    tokens = _list(file, "tokens", str)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    length = file.metadata.get("llama.context_length")
    if isinstance(length, int):
        config["model_max_length"] = length
    for key, name in (("bos", "bos"), ("eos", "eos"), ("unknown", "unk"), ("padding", "pad")):
        token = _special(file, tokens, key)
        if token is not None:
            config[f"{name}_token"] = token
    template = file.metadata.get("tokenizer.chat_template")
    if isinstance(template, str):
        config["chat_template"] = template
    return config


def _special(file: GgufFile, tokens: list[str], name: str) -> str | None:
    number = file.metadata.get(f"tokenizer.ggml.{name}_token_id")
    if number is None:
        return None
    if not isinstance(number, int) or not 0 <= number < len(tokens):
        raise InputError(f"{file.path}: tokenizer.ggml.{name}_token_id is {number!r:.40}")
    return tokens[number]


def _flag(file: GgufFile, name: str) -> bool:
    return file.metadata.get(f"tokenizer.ggml.{name}") is True


def _list(file: GgufFile, name: str, kind: type) -> list:
    values = file.metadata.get(f"tokenizer.ggml.{name}")
    if not isinstance(values, list) or any(type(value) is not kind for value in values):
        raise InputError(f"{file.path}: has no list tokenizer.ggml.{name}")
    return values
