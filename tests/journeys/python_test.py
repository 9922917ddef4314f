"""Load it in Python: an export, and the lines of its model card, which are those of the page. They are run
where a Python with torch and transformers is: that of the tests, or what THAW_REFERENCE_PYTHON names."""

import os
import subprocess
import sys

from journey import TOPICS, Journey, json, main

PYTHON = os.environ.get("THAW_REFERENCE_PYTHON", os.environ.get("THAW_TEST_PYTHON", sys.executable))


class Python(Journey):
    def test_an_export_is_loaded_as_its_card_says(self):
        self.trained()
        (export,) = self.commands("launch/README.md", "Load it in Python")
        self.assertIn("mine-model", self.type(export))
        model = self.folder / "mine-model"
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        self.assertEqual(set(config["label2id"]), set(TOPICS))
        code = self.block("launch/README.md", "Load it in Python", language="python")
        self.assertIn(f"```python\n{code}\n```", (model / "README.md").read_text(encoding="utf-8"))
        found = subprocess.run([PYTHON, "-c", "import torch, transformers"], capture_output=True)
        if found.returncode != 0:
            self.skipTest(f"{PYTHON} has no transformers: the lines were not run")
        done = subprocess.run([PYTHON, "-c", code], cwd=self.folder, text=True, capture_output=True,
                              env=self.environment | {"HF_HUB_OFFLINE": "1",
                                                      "HF_MODULES_CACHE": str(self.folder / "cache")})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(any(f"'label': '{topic}'" in done.stdout for topic in TOPICS), done.stdout)


if __name__ == "__main__":
    main()
