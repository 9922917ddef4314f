"""tokenize_prompts.py, which `thaw generate` starts."""

import json
import os
import subprocess
import sys

from language_fixture import BEGIN, END, LanguageTest, ids, needs_jinja
from prepare_completion_test import TEMPLATE
from prepare_fixture import ROOT, main, tokenizers

SCRIPT = os.path.join(ROOT, "launch", "tokenize_prompts.py")


class PromptsTest(LanguageTest):
    def run_script(self, prompts: list, *arguments) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, SCRIPT, self.tokenizer, *arguments],
            input=json.dumps(prompts),
            capture_output=True,
            text=True,
        )

    def tokens(self, prompts: list, *arguments) -> dict:
        done = self.run_script(prompts, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_prompts_ends_and_pieces(self):
        found = self.tokens(["ab: ", "c"])
        self.assertEqual(found["prompts"], [ids("ab: "), ids("c")])
        self.assertEqual(found["ends"], [256])
        pieces = list(map(bytes.fromhex, found["pieces"]))
        self.assertEqual(sorted(pieces[:256]), [bytes([code]) for code in range(256)])
        self.assertEqual(pieces[256:], [b"", b""])  # special tokens are no text
        text = "naïve\t€ \u0000"
        encoded = tokenizers.Tokenizer.from_file(self.tokenizer).encode(text)
        self.assertEqual(b"".join(pieces[token] for token in encoded.ids), text.encode())

    def test_begin_token_stands_once(self):
        self.use_tokenizer(begin=True)
        found = self.tokens(["a", BEGIN + "a"])
        self.assertEqual(found["prompts"], 2 * [ids(BEGIN + "a")])

    def test_ends_are_all_that_the_files_name(self):
        self.write("generation_config.json", json.dumps({"eos_token_id": [257, 256, 9999]}))
        self.assertEqual(self.tokens(["a"])["ends"], [256, 257])
        self.configure()
        self.assertEqual(self.tokens(["a"])["ends"], [257, 256])

    @needs_jinja
    def test_chat(self):
        self.use_tokenizer(begin=True, bos_token=BEGIN, chat_template=TEMPLATE)
        found = self.tokens(["hi"], "--chat")
        self.assertEqual(found["prompts"], [ids(f"{BEGIN}<user>hi\n<assistant>")])

    def test_sentence_pieces(self):
        vocabulary = [("<unk>", 0.0), ("▁a", -1.0), ("b", -1.0)]
        vocabulary += [(f"<0x{code:02X}>", -9.0) for code in range(256)]
        model = tokenizers.models.Unigram(vocabulary, unk_id=0, byte_fallback=True)
        tokenizer = tokenizers.Tokenizer(model)
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
        tokenizer.decoder = tokenizers.decoders.Sequence(
            [tokenizers.decoders.Replace("▁", " "), tokenizers.decoders.ByteFallback()]
        )
        tokenizer.add_special_tokens([END])
        tokenizer.save(self.tokenizer)
        pieces = list(map(bytes.fromhex, self.tokens(["ab"])["pieces"]))
        self.assertEqual(pieces[:3], [b"<unk>", b" a", b"b"])
        self.assertEqual(pieces[3:259], [bytes([code]) for code in range(256)])

    def test_mistakes(self):
        done = self.run_script([""])
        self.assertEqual(done.returncode, 2)
        self.assertIn("makes no token of the prompt", done.stderr)
        self.write("tokenizer.json", "{}")
        done = self.run_script(["a"])
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("tokenize_prompts.py: error:", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)


if __name__ == "__main__":
    main()
