"""What the tests of launch/prepare.py share. They are plain unittest: `python3 prepare_test.py`.

Without the modules that data preparation needs, a test says so in one line and ends with status 77,
which CTest counts as skipped (SKIP_RETURN_CODE).
"""

import contextlib
import importlib
import io
import os
import shutil
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "launch", "prepare.py")
DATA = os.environ.get("THAW_TEST_DATA", os.path.join(os.path.dirname(ROOT), "shared", "data"))
SKIPPED = 77

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "launch"))

MODULES = {}
for name in ("numpy", "h5py", "tokenizers", "PIL"):
    try:
        MODULES[name] = importlib.import_module(name)
    except ImportError:
        MODULES[name] = None
np, h5py, tokenizers, PIL = MODULES.values()

WORDS = "the a card money lost my is where how do i get new account red blue".split()


def main() -> None:
    """Runs the tests of the calling script, or tells why not."""
    missing = [name for name in ("numpy", "h5py", "tokenizers") if not MODULES[name]]
    if missing:
        print(
            f"SKIPPED: {sys.executable} has no {', '.join(missing)} "
            f"(pip install {' '.join(missing)})"
        )
        sys.exit(SKIPPED)
    unittest.main()


def run(*arguments: str) -> tuple:
    """prepare.py in this process: its status, standard output and standard error."""
    import prepare

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = prepare.main([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


class PrepareTest(unittest.TestCase):
    """A folder of its own, with `tokenizer.json`, and `out.h5` as the file to make."""

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="prepare-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.output = self.path("out.h5")
        self.tokenizer = self.path("tokenizer.json")
        save_tokenizer(self.tokenizer)
        self.inputs: set = set(os.listdir(self.folder))

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def write(self, name: str, content) -> str:
        """Makes an input file from text (UTF-8) or bytes; returns its path."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(content if isinstance(content, bytes) else content.encode())
        self.inputs.add(name.split("/")[0])
        return path

    def succeed(self, *arguments: str) -> "h5py.File":
        """Runs, expects success and no leftovers, and opens what was made."""
        status, self.stdout, self.stderr = run(*arguments, "--output", self.output, "--force")
        self.assertEqual(status, 0, self.stderr)
        self.assertEqual(set(os.listdir(self.folder)), self.inputs | {"out.h5"})
        file = h5py.File(self.output, "r")
        self.addCleanup(file.close)
        return file

    def fail_with(self, message: str, *arguments: str, output: str = None) -> None:
        """Runs, expects status 2, one line that holds `message`, and nothing written."""
        if "out.h5" not in self.inputs and os.path.exists(self.output):
            os.unlink(self.output)  # of a run before
        status, _, err = run(*arguments, "--output", self.output if output is None else output)
        self.assertEqual(status, 2, err)
        errors = [line for line in err.splitlines() if not line.startswith("prepare.py: note: ")]
        self.assertEqual(len(errors), 1, err)
        self.assertTrue(errors[0].startswith("prepare.py: error: "), err)
        self.assertIn(message, errors[0])
        self.assertEqual(set(os.listdir(self.folder)), self.inputs)


def save_tokenizer(path: str) -> None:
    """A small BERT tokenizer whose file asks, like MiniLM's, for padding and another truncation."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "##s", "?"]
    vocabulary = {word: number for number, word in enumerate(vocabulary)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=128)
    tokenizer.save(path)


def ids(text: str) -> list:
    """The token ids of `text`, made of words of the vocabulary, by hand."""
    return [2, *(4 + WORDS.index(word) for word in text.split()), 3]


def sequences(group: "h5py.Group") -> list:
    """The token ids of each sample of a split."""
    offsets, tokens = group["offsets"][:], group["tokens"][:]
    return [tokens[start:end].tolist() for start, end in zip(offsets, offsets[1:])]


def pixels(count: int, *shape: int, seed: int = 0) -> "np.ndarray":
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)
