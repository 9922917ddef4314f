"""What the command tells of itself: help that fits a screen, the configuration's options, completion
by real shells, and a manual's page that troff reads without a warning."""

import re
import shutil
import subprocess
import unittest

from command_fixture import THAW, CommandTest, require

STAGES = """
[[schedule.stage]]
name = "head"
groups = ["head"]

[[ schedule.stage ]]   # spelt otherwise
groups = ["*"]
name = 'upper third'

[data]
name = "no stage"
"""
# The words of the line that is completed, the last of them begun; prints a candidate a line.
COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_thaw 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""
needs_zsh = unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
needs_groff = unittest.skipUnless(shutil.which("groff"), "groff is not installed")


class Manual(CommandTest):
    def subcommands(self):
        text = self.thaw("--help").stdout
        return re.findall(r"^  ([a-z]+) ", text.partition("Sub-commands:")[2], re.MULTILINE)

    def test_help_fits_a_screen_and_says_where_the_rest_is(self):
        names = self.subcommands()
        self.assertIn("train", names)
        for name in names:
            text = self.thaw(name, "--help").stdout
            self.assertLessEqual(len(text.splitlines()), 60, name)
            self.assertTrue(text.startswith(f"Usage: thaw {name}"), text[:80])
            for line in text.splitlines():
                self.assertLessEqual(len(line), 80, f"{name}: {line}")
        self.assertIn("--help-config", self.thaw("train", "--help").stdout)
        self.assertNotIn("--help-config", self.thaw("doctor", "--help").stdout)

    def test_options_of_the_configuration_have_a_help_of_their_own(self):
        text = self.thaw("train", "--help-config").stdout
        for option in ("--train.micro-batch INTEGER", "--data.batch INTEGER (=64)",
                       "--model.architecture TEXT"):
            self.assertIn(option, re.sub(" +", " ", text))
        self.assertEqual(text, self.thaw("evaluate", "--help-config", ranks=2).stdout)
        said = self.refused("doctor", "--help-config")
        self.assertIn("unknown option --help-config", said)

    # --- bash -------------------------------------------------------------------------------------

    def complete(self, *words):
        if not (self.folder / "completion").exists():
            self.write("completion", self.thaw("completion", "bash").stdout)
            self.write("stages.toml", STAGES)
        done = subprocess.run(["bash", "-c", COMPLETE, "-", "completion", "thaw", *words],
                              cwd=self.folder, text=True, capture_output=True, check=True)
        self.assertEqual(done.stderr, "")
        return [line for line in done.stdout.splitlines() if line]

    def test_bash_offers_sub_commands(self):
        self.assertEqual(self.complete(""), [*self.subcommands(), "--help", "--version"])
        self.assertEqual(self.complete("eva"), ["evaluate"])
        self.assertEqual(self.complete("launch", "-n", "2", "--", "tra"), ["train"])

    def test_bash_offers_options_and_their_values(self):
        self.assertEqual(self.complete("train", "--run"), ["--run-dir"])
        self.assertEqual(self.complete("launch", "--re"), ["--restarts"])
        self.assertIn("-n", self.complete("launch", "-"))
        self.assertEqual(self.complete("train", "a.toml", "--data.bat"), ["--data.batch"])
        self.assertEqual(self.complete("launch", "-n", "2", "--", "train", "--data.bat"),
                         ["--data.batch"])
        self.assertEqual(self.complete("doctor", "--data.bat"), [])
        self.assertEqual(self.complete("train", "--train.precision", "b"), ["bfloat16"])
        self.assertEqual(self.complete("train", "--train.precision", "=", "b"), ["bfloat16"])
        self.assertEqual(self.complete("train", "--train.precision", "="),
                         ["float32", "bfloat16", "float64"])
        self.assertIn("top-down", self.complete("train", "--schedule.preset", ""))
        # A sub-command's own, and what its first argument may be.
        self.assertEqual(self.complete("compare", "a.toml", "--budget", ""),
                         ["samples", "seconds", "flops"])
        self.assertEqual(self.complete("scale", "--budget", ""), [])
        self.assertIn("bottom-up", self.complete("compare", "a.toml", "--schedules", "b"))
        self.assertEqual(self.complete("launch", "-n", "2", "--", "evaluate", "run", "--split", "v"),
                         ["validation"])
        self.assertEqual(self.complete("new", ""), ["text", "images", "language"])
        self.assertEqual(self.complete("completion", "z"), ["zsh"])
        self.assertEqual(self.complete("train", "--data.file", ""), [])  # files: bash's own

    def test_bash_offers_the_stages_of_the_configuration_or_run(self):
        self.complete("")
        (self.folder / "run").mkdir()
        shutil.copy(self.folder / "stages.toml", self.folder / "run" / "config.resolved.toml")
        for configuration in ("stages.toml", "run"):
            flags = self.complete("train", configuration, "--schedule.stage.")
            names = {flag.removeprefix("--schedule.stage.").split(".")[0] for flag in flags}
            self.assertEqual(names, {"head", "upper third"})
            self.assertIn("--schedule.stage.head.learning-rate", flags)
            self.assertIn("--schedule.stage.head.until.epochs", flags)
            for key in ("warmup-steps", "cut-fraction"):  # each shape's
                self.assertIn(f"--schedule.stage.head.curve.{key}", flags)
        self.assertEqual(self.complete("train", "stages.toml", "--schedule.stage.head.learning"),
                         ["--schedule.stage.head.learning-rate"])
        self.assertEqual(self.complete("train", "stages.toml", "--schedule.stage.n"), [])
        self.assertIn("--schedule.stage.", self.complete("train", "stages.toml", "--schedule.s"))
        self.assertNotIn("--schedule.stage.", self.complete("train", "other.toml", "--schedule.s"))

    def test_each_key_of_a_stage_that_is_offered_is_one(self):
        """Flags that are offered are taken: none is called unknown."""
        self.images()
        config = self.resnet_config()
        flags = self.complete("train", config, "--schedule.stage.head.")
        self.assertGreater(len(flags), 8)
        for flag in flags:
            done = subprocess.run([THAW, "check", config, flag, "0"], cwd=self.folder, text=True,
                                  capture_output=True, check=False)
            self.assertNotIn("unknown", done.stderr, flag)

    # --- zsh --------------------------------------------------------------------------------------

    @needs_zsh
    def test_zsh_completes(self):
        """In a zsh on a terminal of its own, which lists what it would complete to."""
        functions = self.folder / "functions"
        functions.mkdir()
        (functions / "_thaw").write_text(self.thaw("completion", "zsh").stdout, encoding="utf-8")
        self.write("stages.toml", STAGES)
        self.write("ask.zsh", """
zmodload zsh/zpty
ask() {
  zpty shell zsh -f -i
  zpty -w shell "PS1=; unsetopt zle_bracketed_paste; fpath=($1 \\$fpath); autoload -U compinit"
  zpty -w shell 'compinit -u -D; LISTMAX=0; COLUMNS=300; zstyle ":completion:*" list-prompt ""; print READY'
  zpty -r shell line '*READY*READY*'
  zpty -n -w shell "$2"$'\\t\\t'
  sleep 2
  zpty -r -t shell line '*' && print -r -- "$line"
  while zpty -r -t shell line; do print -r -- "$line"; done
  zpty -d shell
}
ask "$1" "$2"
""")

        def offered(line):
            done = subprocess.run(["zsh", "-f", "ask.zsh", str(functions), line], cwd=self.folder,
                                  text=True, capture_output=True, timeout=60, check=False)
            self.assertNotIn("_thaw:", done.stdout)  # as zsh's own errors begin
            return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[\x07\x08]", "", done.stdout)

        self.assertIn("thaw evaluate", offered("thaw eva"))
        self.assertIn("--run-dir", offered("thaw train --run"))
        self.assertIn("bfloat16", offered("thaw train --train.precision b"))
        self.assertIn("seconds", offered("thaw compare a.toml --budget se"))
        self.assertIn("thaw new language", offered("thaw new lang"))
        self.assertIn("--schedule.stage.head.learning-rate",
                      offered("thaw train stages.toml --schedule.stage.head.learn"))

    # --- man --------------------------------------------------------------------------------------

    @needs_groff
    def test_page_of_the_manual_is_read_without_a_warning(self):
        page = self.thaw("man").stdout
        done = subprocess.run(["groff", "-man", "-ww", "-k", "-Tutf8", "-P-c"], input=page, text=True,
                              capture_output=True, check=True)
        self.assertEqual(done.stderr, "")
        text = re.sub(".\b", "", done.stdout)
        for name in self.subcommands():
            self.assertRegex(text, rf"(?m)^   {name}$")
        for words in ("--run-dir VALUE", "--data.batch INTEGER", "EXIT STATUS", "75", "THAW_MPIEXEC"):
            self.assertIn(words, text)

    def test_a_shell_that_is_not_known_is_refused(self):
        self.assertIn("expected bash or zsh", self.refused("completion", "fish"))


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
