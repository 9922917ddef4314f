"""What the tests of language models' data share: a tokenizer whose tokens are single bytes."""

import importlib.util
import json
import unittest

from prepare_fixture import PrepareTest, tokenizers

END, BEGIN = "<end>", "<begin>"
HAS_JINJA = importlib.util.find_spec("jinja2") is not None
HAS_GGUF = importlib.util.find_spec("gguf") is not None
needs_jinja = unittest.skipUnless(HAS_JINJA, "jinja2 is not installed")


def alphabet() -> list:
    """How byte-level tokenizers write bytes, sorted: printable ones as they are, a blank as Ġ."""
    return sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())


def byte_tokenizer(begin: bool = False) -> "tokenizers.Tokenizer":
    """No merges: `ids` tells a text's tokens. `begin`: its own template puts BEGIN first."""
    numbers = {character: number for number, character in enumerate(alphabet())}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(numbers, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens([END, BEGIN])
    if begin:
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"{BEGIN} $A", special_tokens=[(BEGIN, 257)]
        )
    return tokenizer


def ids(text: str) -> list:
    """The tokens of ASCII text, of END and of BEGIN, by hand."""
    found = []
    while text:
        special = next((s for s in (END, BEGIN) if text.startswith(s)), None)
        if special:
            found.append(256 + (special == BEGIN))
            text = text[len(special) :]
            continue
        shown = {" ": "Ġ", "\n": "Ċ"}.get(text[0], text[0])
        found.append(alphabet().index(shown))
        text = text[1:]
    return found


class LanguageTest(PrepareTest):
    """Has a tokenizer of bytes, and beside it a tokenizer_config.json that names END."""

    def setUp(self) -> None:
        super().setUp()
        self.use_tokenizer()

    def use_tokenizer(self, begin: bool = False, **config) -> None:
        byte_tokenizer(begin).save(self.tokenizer)
        self.configure(eos_token=END, **config)

    def configure(self, **config) -> None:
        self.write("tokenizer_config.json", json.dumps(config))
