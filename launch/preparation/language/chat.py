"""The chat template of a model: how a question and its answer are written down for it."""

from __future__ import annotations

import datetime
import json
import os

from preparation import limits
from preparation.errors import InputError, reason
from preparation.inputs import read_whole
from preparation.language.vocabulary import Vocabulary


def _template_of(vocabulary: Vocabulary) -> tuple[str, str]:
    """(the template's text, the file that has it)."""
    path = os.path.join(vocabulary.folder, "chat_template.jinja")
    if os.path.exists(path):
        return read_whole(path).decode("utf-8", "replace"), path
    path = os.path.join(vocabulary.folder, "tokenizer_config.json")
    template = vocabulary.beside("tokenizer_config.json").get("chat_template")
    if isinstance(template, list):  # several by name
        named = {part.get("name"): part.get("template") for part in template}
        template = named.get("default")
    if not isinstance(template, str):
        raise InputError(
            f"{path}: has no chat_template, which --chat needs: take the tokenizer_config.json of "
            "a model for conversations, or leave --chat out"
        )
    return template, path


# Note [Templates are programs]
# A chat template comes with a model from wherever, and jinja2 runs it. So it runs in jinja2's
# sandbox, which keeps it from Python's objects and bounds its loops, and what it writes is bounded.
# Blocks are trimmed as transformers do, or line ends of the template's source would be tokens.
class ChatTemplate:
    """`chat_template` of the files beside a tokenizer.json, as transformers apply it."""

    def __init__(self, vocabulary: Vocabulary):
        import jinja2.sandbox  # only here: set-up installs it on demand

        text, self._path = _template_of(vocabulary)
        self._names = vocabulary.special_names()
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = lambda value, indent=None: json.dumps(
            value, ensure_ascii=False, indent=indent
        )
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
        try:
            self._template = environment.from_string(text)
        except jinja2.TemplateError as error:
            raise InputError(f"{self._path}: chat_template: {reason(error)}") from error

    def prompt(self, text: str, where: str) -> str:
        """A question, up to where the model's answer begins."""
        return self._render([{"role": "user", "content": text}], True, where)

    def both(self, prompt: str, completion: str, where: str) -> tuple[str, str]:
        """The same, and what the template makes of the answer."""
        front = self.prompt(prompt, where)
        messages = [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": completion},
        ]
        whole = self._render(messages, False, where)
        if not whole.startswith(front):
            raise InputError(
                f"{self._path}: chat_template: an answered question does not begin as an open one "
                f"({where}), so that its answer cannot be told apart"
            )
        return front, whole[len(front) :]

    def _render(self, messages: list[dict], opens: bool, where: str) -> str:
        parts, length = [], 0
        try:
            for part in self._template.generate(
                messages=messages, add_generation_prompt=opens, **self._names
            ):
                parts.append(part)
                length += len(part)
                if length > limits.TEXT:
                    raise ValueError(f"it writes more than {limits.TEXT:,} characters")
        except Exception as error:  # whatever the template's program does wrong
            raise InputError(
                f"{self._path}: chat_template: fails on {where}: {reason(error)}"
            ) from error
        return "".join(parts)


def _refuse(message: str) -> None:
    raise ValueError(message)
