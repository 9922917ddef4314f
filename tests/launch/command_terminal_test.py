"""The line of a training, on terminals of 80 and of 200 columns, alone and under mpirun."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest
import unicodedata

from command_fixture import MPIEXEC, SECONDS, THAW, CommandTest, require, two_stages

ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def columns_of(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


class Terminal(CommandTest):
    def setUp(self):
        super().setUp()
        self.images(train=120)
        self.config = self.resnet_config(stages=two_stages("epochs = 1", "epochs = 1"))

    def shown(self, command, columns, environment=None, after=None):
        """What a command shows on a terminal; `after`: is given all so far and the process."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        settings = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm", **(environment or {})}
        settings.pop("COLUMNS", None)
        job = subprocess.Popen(command, cwd=self.folder, env=settings, stdin=theirs,
                               stdout=theirs, stderr=theirs, start_new_session=True)
        self.addCleanup(job.kill)
        os.close(theirs)
        text = b""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    piece = os.read(ours, 65536)
                except OSError:  # the last process has closed it
                    break
                if not piece:
                    break
                text += piece
                if after is not None:
                    after(text.decode("utf-8", "replace"), job)
            elif job.poll() is not None:
                break
        os.close(ours)
        return text.decode("utf-8"), job.wait(timeout=60)

    def check_lines(self, text, columns):
        """No line that moves is as wide as the screen, and nothing stands behind one."""
        for line in text.replace("\r\n", "\n").split("\n"):
            for piece in map(lambda each: ESCAPE.sub("", each), line.split("\r")):
                if re.match(r"(head|upper)  (step )?\d+/", piece):
                    self.assertLess(columns_of(piece), columns, piece)
                    self.assertNotIn("thaw:", piece)

    def test_one_line_never_wraps(self):
        for columns in (80, 200):
            for ranks in (0, 2):
                with self.subTest(columns=columns, ranks=ranks):
                    run = f"run-{columns}-{ranks}"
                    command = [THAW, "train", self.config, "--run-dir", run]
                    if ranks:
                        command = [MPIEXEC, "-n", str(ranks), *command]
                    text, status = self.shown(command, columns)
                    self.assertEqual(status, 0, text)
                    self.check_lines(text, columns)
                    plain = ESCAPE.sub("", text)
                    self.assertRegex(plain, r"(step )?\d+/20")
                    self.assertIn("evaluating", plain)
                    self.assertIn("saving", plain)
                    self.assertRegex(plain, r"val(idation)? \d\.\d{4}")
                    self.assertRegex(plain, r"left:? ")
                    self.assertIn("\x1b[36m", text)

    def test_tables_fit_the_screen(self):
        self.thaw("train", self.config, "--run-dir", "run")
        for columns in (80, 200):
            for command, word in ((["check", self.config], "gradients"),
                                  (["inspect", "run/weights.safetensors"], "layer3.0.bn1"),
                                  (["inspect", "run"], "validation"), (["doctor"], "fsync"),
                                  (["diff", "run", "run"], "the same")):
                with self.subTest(command=command, columns=columns):
                    text, status = self.shown([THAW, *command], columns)
                    self.assertEqual(status, 0, text)
                    self.assertIn(word, text)
                    rows = [line for line in text.splitlines() if re.match(r"  \S+ +\S+  ", line)]
                    self.assertLessEqual(max(map(columns_of, rows), default=0), columns, text)

    def test_colours_are_left_out_where_they_are_not_wanted(self):
        for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            with self.subTest(environment=environment):
                run = "run-" + "-".join(environment)
                text, _ = self.shown([THAW, "train", self.config, "--run-dir", run], 100,
                                     environment)
                self.assertNotRegex(text, r"\x1b\[\d+m")
                self.assertIn("\x1b[K", text)

    def test_ctrl_c_says_what_is_saved_and_time_left_is_told_after_it_goes_on(self):
        long = self.resnet_config(name="long.toml", stages=two_stages("steps = 4000", "steps = 9"))
        command = [THAW, "train", long, "--run-dir", "run", "--train.evaluate-every", "5"]

        def interrupt(text, job):
            if "best so far" in text and not interrupted:
                interrupted.append(True)
                job.send_signal(signal.SIGINT)

        interrupted = []
        text, status = self.shown(command, 80, after=interrupt)
        self.assertEqual(status, 75, text)
        self.check_lines(text, 80)
        self.assertIn("A second Ctrl-C ends at once", text)
        self.assertRegex(text, r"Stopped after step \d+ since a signal asked for it; all is saved")
        self.assertIn("saved: the checkpoint of step", text)
        self.assertIn("weights.best.safetensors", text)

        def stop_soon(shown, job):
            if re.search(r"\d+/4,009.*left", ESCAPE.sub("", shown)) and len(interrupted) == 1:
                interrupted.append(True)
                job.send_signal(signal.SIGINT)

        text, status = self.shown(command, 200, after=stop_soon)
        self.assertEqual(status, 75, text)
        after = ESCAPE.sub("", text).split("Goes on after step")[1]
        self.assertRegex(after, r"step \d+/4,009 .*left: stage \d+:\d\d, run \d+:\d\d")


if __name__ == "__main__":
    require()
    unittest.main()
