"""A tokenizer as language models use it: nothing is cut or padded, special tokens are put where
they belong by name, and each stands there once."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence

import numpy as np
import tokenizers

from preparation.errors import InputError, reason, suggestion
from preparation.inputs import read_whole
from preparation.text.tokens import load_tokenizer


def read_json(path: str) -> dict:
    """An object of JSON that lies beside a tokenizer.json; empty where there is none."""
    if not os.path.exists(path):
        return {}
    try:
        value = json.loads(read_whole(path).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON: {reason(error)}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: is JSON, but no object")
    return value


def token_name(value) -> str | None:
    """A special token as Hugging Face's files write it: its text, or an object that has it."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) and value else None


class Vocabulary:
    """A tokenizer.json and what the files beside it (`tokenizer_config.json`,
    `special_tokens_map.json`, `config.json`, `generation_config.json`) say of its special tokens.

    `prefix`: what the tokenizer itself puts before each text, mostly nothing or a begin token.
    """

    def __init__(self, path: str):
        self._tokenizer, self.attributes = load_tokenizer(path)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.path = path
        self.folder = os.path.dirname(os.path.abspath(path))
        self.prefix = self._find_prefix()

    def beside(self, name: str) -> dict:
        return read_json(os.path.join(self.folder, name))

    def special_names(self) -> dict[str, str]:
        """`bos_token`, `eos_token` and the like by name, for a chat template and others."""
        found = {}
        for file in ("special_tokens_map.json", "tokenizer_config.json"):
            for key, value in self.beside(file).items():
                if key.endswith("_token") and token_name(value):
                    found[key] = token_name(value)
        return found

    def end_ids(self, given: str | None = None) -> list[int]:
        """The tokens that end a text, the usual one first: `given`, or what the files name; none
        where they name none."""
        if given:
            return [self.id_of(given, "--end-token")]
        found = []
        name = self.special_names().get("eos_token")
        if name:
            found.append(self.id_of(name, os.path.join(self.folder, "tokenizer_config.json")))
        for file in ("config.json", "generation_config.json"):
            value = self.beside(file).get("eos_token_id")
            for token in value if isinstance(value, list) else [value]:
                if isinstance(token, int) and self._tokenizer.id_to_token(token) is not None:
                    found.append(token)
        return list(dict.fromkeys(found))

    def end_id(self, given: str | None) -> int:
        """The token that ends a text; refused where nothing says which."""
        found = self.end_ids(given)
        if not found:
            raise InputError(
                f"{self.path}: no file beside it says which token ends a text (eos_token in "
                "tokenizer_config.json): name it with --end-token"
            )
        return found[0]

    def id_of(self, token: str, where: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            near = suggestion(token, self._tokenizer.get_vocab())
            raise InputError(f'{where}: "{token}" is no token of {self.path}{near}')
        return number

    def name_of(self, number: int) -> str:
        return self._tokenizer.id_to_token(number)

    def encode(self, texts: Sequence[str], where: str) -> list[tokenizers.Encoding]:
        """Each text's tokens, with nothing before or behind them. `where`: the first, for errors."""
        return self._run(list(texts), where, False)

    def encode_words(self, sentences: list[list[str]], where: str) -> list[tokenizers.Encoding]:
        """Tokens of sentences that are split into words, with the tokenizer's special ones."""
        return self._run(sentences, where, True)

    def prompt_ids(self, encoded: tokenizers.Encoding) -> list[int]:
        """A prompt's tokens: what the tokenizer itself puts before a text stands there once, also
        where the prompt (a chat template) has it."""
        ids = encoded.ids
        return ids if ids[: len(self.prefix)] == self.prefix else self.prefix + ids

    def pieces(self) -> list[bytes]:
        """Of each token, by its id, the bytes that it adds to a text; special tokens add none.
        Refused for tokenizers whose tokens mean something only together."""
        added = self._tokenizer.get_added_tokens_decoder()
        vocabulary = self._tokenizer.get_vocab()
        write = _writer(json.loads(self._tokenizer.to_str()).get("decoder") or {}, self.path)
        found = [b""] * (1 + max(vocabulary.values(), default=-1))
        for name, number in vocabulary.items():
            if number not in added:
                found[number] = write(name)
            elif not added[number].special:
                found[number] = name.encode()
        return found

    def _run(self, inputs: list, where: str, words: bool) -> list[tokenizers.Encoding]:
        try:
            return self._tokenizer.encode_batch(
                inputs, is_pretokenized=words, add_special_tokens=words
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of Rust's is no Exception
            raise InputError(
                f"{self.path}: fails on texts from {where} on: {reason(error)}"
            ) from error

    def space_words(self) -> bool:
        """Has a byte-level tokenizer put a space before each word of a split sentence, as before
        words in running text; whether that had to be said."""
        value = json.loads(self._tokenizer.to_str())
        parts = value["pre_tokenizer"] or {}
        bare = [
            part
            for part in parts.get("pretokenizers", [parts])
            if part.get("type") == "ByteLevel" and not part["add_prefix_space"]
        ]
        for part in bare:
            part["add_prefix_space"] = True
        if bare:
            self._tokenizer = tokenizers.Tokenizer.from_str(json.dumps(value))
        return bool(bare)

    def truncate_words(self, longest: int) -> None:
        """Sentences of encode_words are cut to `longest` tokens, special ones kept."""
        special = self._tokenizer.num_special_tokens_to_add(False)
        if longest <= special:
            raise InputError(
                f"--max-tokens {longest}: leaves no room for text, since this tokenizer adds "
                f"{special} special tokens"
            )
        self._tokenizer.enable_truncation(longest)

    def _find_prefix(self) -> list[int]:
        bare, whole = (self._tokenizer.encode("a", add_special_tokens=s).ids for s in (False, True))
        for start in range(len(whole) - len(bare) + 1):
            if whole[start : start + len(bare)] == bare:
                return whole[:start]
        raise InputError(f"{self.path}: changes a text's tokens where it adds special ones")


def _writer(decoder: dict, path: str) -> Callable[[str], bytes]:
    """How a token's name stands for bytes, by the decoder in tokenizer.json."""
    kinds = [part.get("type") for part in decoder.get("decoders", [decoder])]
    if "ByteLevel" in kinds:
        return lambda name: b"".join(_BYTES.get(c, c.encode()) for c in name)
    if "Metaspace" in kinds or "ByteFallback" in kinds:
        return _piece_of_sentence
    raise InputError(
        f"{path}: what its tokens stand for is not known one by one (decoder: "
        f"{', '.join(map(str, kinds))}); byte-level BPE and SentencePiece's are"
    )


def _piece_of_sentence(name: str) -> bytes:
    """SentencePiece: ▁ is a blank, <0x41> a byte."""
    byte = re.fullmatch("<0x([0-9A-F]{2})>", name)
    return bytes.fromhex(byte[1]) if byte else name.replace("▁", " ").encode()


def _byte_names() -> dict[str, bytes]:
    """How byte-level tokenizers name bytes (GPT-2's table): those that can be seen by themselves,
    the others, in order, by the characters from U+0100 on."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names = {chr(code): bytes([code]) for code in seen}
    others = [code for code in range(256) if code not in seen]
    return names | {chr(256 + n): bytes([code]) for n, code in enumerate(others)}


_BYTES = _byte_names()


def bytes_of(offsets: list[tuple[int, int]], text: str) -> list[int]:
    """Of each token how many bytes of UTF-8 it adds to the text; the sum is the text's. Characters
    that a tokenizer drops count with what follows them, else with the last token."""
    ends = np.maximum.accumulate(np.array([end for _, end in offsets], dtype=np.int64))
    if not len(ends):
        return []
    ends[-1] = len(text)
    if not text.isascii():
        codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        sizes = 1 + (codes > 0x7F).astype(np.int64) + (codes > 0x7FF) + (codes > 0xFFFF)
        ends = np.concatenate([[0], np.cumsum(sizes)])[ends]
    return np.diff(ends, prepend=0).tolist()
