"""prepare.py completion."""

import json

from language_fixture import BEGIN, END, LanguageTest, ids, needs_jinja
from prepare_fixture import main, np, sequences

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


class CompletionTest(LanguageTest):
    def completion(self, rows, *arguments, max_tokens: int = 64) -> list:
        """Arguments for a train split of these (prompt, completion)."""
        lines = [json.dumps({"q": prompt, "a": answer}) for prompt, answer in rows]
        path = self.write("train.jsonl", "\n".join(lines))
        return ["completion", "--train", path, "--prompt-column", "q", "--completion-column", "a",
                "--tokenizer", self.tokenizer, "--max-tokens", max_tokens, *arguments]  # fmt: skip

    def test_end_token_follows_and_counts(self):
        file = self.succeed(*self.completion([("ab:", " c"), ("d", " efg")]))
        split = file["train"]
        self.assertEqual(sequences(split), [ids("ab: c" + END), ids("d efg" + END)])
        self.assertEqual(split["prompt_lengths"][:].tolist(), [3, 1])
        self.assertEqual(split["bytes"][:].tolist(), [2, 4])
        types = [split[name].dtype.str for name in ("tokens", "offsets", "prompt_lengths", "bytes")]
        self.assertEqual(types, ["<i4", "<i8", "<i4", "<i4"])
        self.assertEqual(
            {name: file.attrs[name] for name in ("kind", "task", "end_token", "max_tokens")},
            {"kind": "text", "task": "causal-lm", "end_token": END, "max_tokens": 64},
        )
        self.assertEqual(len(file.attrs["tokenizer_sha256"]), 64)
        self.assertNotIn("labels", split)

    def test_begin_token_of_the_tokenizer_stands_once(self):
        self.use_tokenizer(begin=True)
        file = self.succeed(*self.completion([("a", " b"), (BEGIN + "a", " b")]))
        self.assertEqual(sequences(file["train"]), 2 * [ids(BEGIN + "a b" + END)])
        self.assertEqual(file["train/prompt_lengths"][:].tolist(), [2, 2])

    def test_end_token_in_the_table_is_not_doubled(self):
        rows = [("a", " b" + END), ("a", f" b{END}\n"), ("a", f" b{END}c"), (END, " b")]
        file = self.succeed(*self.completion(rows))
        whole = [ids(f"a b{END}")] * 2 + [ids(f"a b{END}c{END}"), ids(f"{END} b{END}")]
        self.assertEqual(sequences(file["train"]), whole)
        self.assertEqual(file["train/bytes"][:].tolist()[:2], [2, 2])
        # The end token within a prompt is masked by the prompt's length, not found by its id.
        self.assertEqual(file["train/prompt_lengths"][3], 1)

    def test_long_prompts_are_left_out_and_long_completions_cut(self):
        rows = [("a" * 8, " b"), ("a" * 7, " b"), ("a" * 5, " b"), ("a" * 5, " bc")]
        file = self.succeed(*self.completion(rows, max_tokens=8))
        expected = [ids("a" * 7 + " "), ids(f"aaaaa b{END}"), ids("aaaaa bc")]
        self.assertEqual(sequences(file["train"]), expected)
        self.assertEqual(file["train/bytes"][:].tolist(), [1, 2, 3])
        self.assertIn("train: 1 sample left out: their prompt alone has 8 tokens", self.stderr)
        self.assertIn("train.jsonl:1", self.stderr)
        self.assertIn("train: 2 completions cut", self.stderr)
        self.assertRegex(self.stdout, r"train +3 +24 .* 66\.7 % +\d+ +1\n")
        self.fail_with("train: no sample is left", *self.completion(rows[:1], max_tokens=8))

    def test_bytes_are_of_utf8(self):
        file = self.succeed(*self.completion([("é", " naïve €")]))
        split = file["train"]
        self.assertEqual(split["prompt_lengths"][0], 2)
        self.assertEqual(split["bytes"][0], len(" naïve €".encode()))
        self.assertEqual(len(split["tokens"]), 2 + split["bytes"][0] + 1)

    def test_join(self):
        file = self.succeed(*self.completion([("a", "b")], "--join", " "))
        self.assertEqual(sequences(file["train"]), [ids("a b" + END)])
        self.assertEqual(file["train/prompt_lengths"][0], 1)
        self.assertNotIn("--join", self.stderr)
        file.close()
        self.succeed(*self.completion([("a", "b"), ("c", "d")]))
        self.assertIn("--join ' ' puts one between them", self.stderr)

    def test_end_token_is_found_or_asked_for(self):
        self.configure()
        arguments = self.completion([("a", " b")])
        self.fail_with("name it with --end-token", *arguments)
        self.fail_with('"<ent>" is no token', *arguments, "--end-token", "<ent>")
        self.fail_with('did you mean "<end>"', *arguments, "--end-token", "<ent>")
        file = self.succeed(*arguments, "--end-token", END)
        self.assertEqual(sequences(file["train"]), [ids("a b" + END)])
        file.close()
        self.write("config.json", json.dumps({"eos_token_id": [256, 257]}))
        file = self.succeed(*arguments)
        self.assertEqual(file.attrs["end_token"], END)
        self.configure(eos_token={"content": BEGIN, "special": True})
        file.close()
        self.assertEqual(self.succeed(*arguments).attrs["end_token"], BEGIN)
        self.write("tokenizer_config.json", "{")
        self.fail_with("tokenizer_config.json: is not JSON", *arguments)

    def test_validation_fraction(self):
        rows = [(f"{number:03d}", " x") for number in range(100)]
        held = []
        for _ in range(2):
            file = self.succeed(*self.completion(rows, "--validation-fraction", 0.1, "--seed", 3))
            self.assertEqual(list(file), ["train", "validation"])
            held.append([sequences(file[split]) for split in file])
            file.close()
        self.assertEqual(held[0], held[1])
        self.assertEqual([len(split) for split in held[0]], [90, 10])
        whole = sorted(map(tuple, [*held[0][0], *held[0][1]]))
        self.assertEqual(whole, sorted(tuple(ids(f"{n:03d} x{END}")) for n in range(100)))

    def test_mistakes(self):
        arguments = self.completion([("a", " b"), ("", " b")])
        self.fail_with('train.jsonl:2: "q" is empty', *arguments)
        file = self.succeed(*arguments, "--skip-empty")
        self.assertEqual(len(file["train/bytes"]), 1)
        file.close()
        self.fail_with("has no chat_template", *self.completion([("a", "b")], "--chat"))

    @needs_jinja
    def test_chat(self):
        self.use_tokenizer(begin=True, bos_token=BEGIN, chat_template=TEMPLATE)
        file = self.succeed(*self.completion([("hi", "yo")], "--chat"))
        self.assertEqual(
            sequences(file["train"]), [ids(f"{BEGIN}<user>hi\n<assistant>yo{END}")]
        )
        self.assertEqual(file["train/prompt_lengths"][0], len(ids(f"{BEGIN}<user>hi\n<assistant>")))
        self.assertEqual(file["train/bytes"][0], 2)
        file.close()
        named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": TEMPLATE}]
        self.use_tokenizer(chat_template=named)  # no begin token: the template's is nothing
        file = self.succeed(*self.completion([("hi", "yo")], "--chat"))
        self.assertEqual(sequences(file["train"]), [ids(f"<user>hi\n<assistant>yo{END}")])

    @needs_jinja
    def test_chat_templates_that_fail(self):
        arguments = self.completion([("hi", "yo")], "--chat")
        for template, message in (
            ("{{ raise_exception('no system') }}", "fails on {}:1: no system"),
            ("{% if %}", "chat_template: "),
            ("{{ messages.__class__.__mro__ }}", "unsafe"),
            ("{% for n in range(9999999) %}x{% endfor %}", "fails on"),
            ("{{ messages | length }}", "does not begin as an open one"),
        ):
            with self.subTest(template):
                self.use_tokenizer(chat_template=template)
                self.fail_with(message.format(self.path("train.jsonl")), *arguments)

    def test_definitions_of_wordnet(self):
        for part, number, words in (("noun", 5, "dog 0 hound 0"), ("verb", 30, "go_up 0"),
                                    ("adj", 0, "red(a) 0"), ("adv", 2, "how 0")):  # fmt: skip
            lines = (
                f'{n:08d} {number:02d} x {len(words.split()) // 2:02x} {words} 000 | a {n}; "b"\n'
                for n in range(60)
            )
            self.write(f"dict/data.{part}", "".join(lines))
        file = self.succeed("wordnet", "--learn", "definitions", "--tokenizer", self.tokenizer,
                            "--source", self.path("dict"), "--max-tokens", 64)  # fmt: skip
        self.assertEqual(list(file), ["test", "train", "validation"])
        self.assertEqual(file.attrs["task"], "causal-lm")
        found = {"".join(map(chr, self._text(s))) for s in sequences(file["train"])}
        for prompt in ("dog (noun, animal):", "go up (verb, change):", "red (adjective):",
                       "how (adverb):"):  # fmt: skip
            self.assertTrue(any(text.startswith(prompt + " a ") for text in found), prompt)
        self.assertFalse(any('"' in text or ";" in text for text in found))
        self.assertEqual(int(np.sum([len(file[split]["bytes"]) for split in file])), 240)

    def _text(self, sequence: list) -> list:
        codes = {ids(chr(code))[0]: code for code in range(32, 127)}
        return [codes[token] for token in sequence[:-1]]


if __name__ == "__main__":
    main()
