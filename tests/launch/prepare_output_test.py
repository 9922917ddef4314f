"""What prepare.py does with its output, its standard streams, and what killed runs left."""

import os
import signal
import stat
import subprocess
import sys
import time
from unittest import mock

from prepare_fixture import SCRIPT, PrepareTest, h5py, main

COLUMNS = ["--text-column", "text", "--label-column", "label"]


class OutputTest(PrepareTest):
    def setUp(self) -> None:
        super().setUp()
        self.small = self.write("small.csv", "text,label\nmy card,a\nmoney,b\n")

    def text(self, table: str = "") -> list:
        table = table or self.small
        return ["text", "--train", table, *COLUMNS, "--tokenizer", self.tokenizer]

    def start(self, table: str, output: str, **options) -> subprocess.Popen:
        command = [sys.executable, SCRIPT, *self.text(table), "--output", output]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)

    def places(self) -> list:
        return [name for name in os.listdir(self.folder) if name.startswith(".thaw-prepare-")]

    def wait_for_place(self, process: subprocess.Popen) -> str:
        """The folder of the run that was started, once its file is there."""
        deadline = time.monotonic() + 60
        while True:
            found = [n for n in self.places() if os.path.exists(self.path(f"{n}/dataset"))]
            if found:
                return found[0]
            self.assertLess(time.monotonic(), deadline)
            self.assertIsNone(process.poll(), process.stderr)
            time.sleep(0.01)

    def test_leftovers_of_killed_runs_go_and_living_runs_stay(self):
        long = self.write("long.csv", "text,label\n" + "where is my card,1\n" * 150_000)
        killed = self.start(long, self.path("killed.h5"))
        left = self.wait_for_place(killed)
        killed.kill()
        killed.communicate()
        self.assertIn(left, self.places())
        self.assertFalse(os.path.exists(self.path("killed.h5")))
        living = self.start(long, self.path("living.h5"))
        self.addCleanup(living.kill)
        while not [name for name in self.places() if name != left]:
            self.assertIsNone(living.poll())
            time.sleep(0.01)
        place = self.wait_for_place(living)
        living.send_signal(signal.SIGSTOP)  # so that it lives as long as it is looked at
        self.assertIsNone(living.poll())
        self.assertNotEqual(place, left)
        self.assertNotIn(left, self.places())  # the living run removed what the killed one left
        foreign = ".thaw-prepare-00000000-abc.part"  # of another host: nobody here knows of it
        os.mkdir(self.path(foreign))
        command = [*self.text(), "--output", self.output]
        done = subprocess.run(
            [sys.executable, SCRIPT, *command], stderr=subprocess.PIPE, text=True, timeout=120
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("is of a run on another host", done.stderr)
        self.assertIn(place, self.places())  # the small run left the living one alone
        living.send_signal(signal.SIGCONT)
        _, err = living.communicate(timeout=300)
        self.assertEqual(living.returncode, 0, err)
        with h5py.File(self.path("living.h5")) as file:
            self.assertEqual(len(file["train/labels"]), 150_000)
        self.assertEqual(self.places(), [foreign])

    def test_only_what_is_ours_is_removed(self):
        os.mkdir(self.path("precious"))
        self.write("precious/dataset", "precious")
        host = self.fresh_name()
        os.symlink("precious", self.path(host))
        self.inputs |= {"precious", host}
        self.succeed(*self.text()).close()
        self.assertTrue(os.path.exists(self.path("precious/dataset")))
        os.unlink(self.path(host))
        os.mkdir(self.path(host))
        os.mkdir(self.path(f"{host}/folder"))  # which no workplace has
        self.write(f"{host}/folder/dataset", "precious")
        self.succeed(*self.text()).close()
        self.assertTrue(os.path.exists(self.path(f"{host}/folder/dataset")))

    def fresh_name(self) -> str:
        """A name as a run on this host would give its folder."""
        from preparation import workplace

        return f".thaw-prepare-{workplace._host()}-planted.part"

    def test_what_cannot_hold_the_file(self):
        os.mkfifo(self.path("pipe"))
        os.symlink("small.csv", self.path("link"))
        os.symlink("nowhere", self.path("dangling"))
        self.inputs |= {"pipe", "link", "dangling"}
        for name, message in (
            ("pipe", "is a device or a pipe"),
            ("link", "is a link, which is not followed"),
            ("dangling", "is a link, which is not followed"),
            ("small.csv", "is an input too"),
            ("tokenizer.json", "is an input too"),
        ):
            for force in ([], ["--force"]):
                self.fail_with(message, *self.text(), *force, output=self.path(name))
        os.symlink("/dev/null", self.path("null"))  # as /dev/stdout is one
        self.inputs.add("null")
        for output in ("/dev/null", self.path("null")):
            self.fail_with("is a device or a pipe", *self.text(), "--force", output=output)
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))
        self.assertTrue(stat.S_ISFIFO(os.lstat(self.path("pipe")).st_mode))
        with open(self.small) as stream:
            self.assertTrue(stream.read().startswith("text,label"))
        for name in ("", self.path("folder/")):
            self.fail_with("names no file", *self.text(), output=name)
        self.fail_with("File name too long", *self.text(), output=self.path("x" * 300))

    def test_another_run_that_was_faster_is_not_overwritten(self):
        from preparation import dataset_file

        with dataset_file.DatasetFile(self.output) as file:
            file.array("train", "labels", "<i8", [0])
            self.write("out.h5", "precious")
            with self.assertRaisesRegex(dataset_file.InputError, "exists"):
                file.commit({})
        with dataset_file.DatasetFile(self.path("new.h5")) as file:
            file.array("train", "labels", "<i8", [0])
            with mock.patch.object(file, "_check_free", lambda: self.write("new.h5", "precious")):
                with self.assertRaisesRegex(dataset_file.InputError, "File exists"):
                    file.commit({})
        for name in ("out.h5", "new.h5"):
            with open(self.path(name)) as stream:
                self.assertEqual(stream.read(), "precious")
        self.assertEqual(self.places(), [])

    def run_with(self, redirection: str) -> subprocess.CompletedProcess:
        words = [sys.executable, SCRIPT, *self.text(), "--output", self.output, "--force"]
        command = ["sh", "-c", f'exec "$@" {redirection}', "sh", *words]
        return subprocess.run(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, timeout=120)

    def test_standard_streams(self):
        """Closed, full or gone: the file is made, and holds nothing that was printed."""
        for redirection in (
            ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1",
        ):  # fmt: skip
            done = self.run_with(redirection)
            self.assertEqual(done.returncode, 0, (redirection, done.stderr))
            self.assertNotIn(b"Traceback", done.stderr)
            self.assertNotIn(b"Exception ignored", done.stderr)
            with h5py.File(self.output) as file:
                self.assertEqual(file["train/labels"][:].tolist(), [0, 1])
        self.assertIn(b"standard output cannot be written", self.run_with(">/dev/full").stderr)
        reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
        reader.wait()
        command = [sys.executable, SCRIPT, *self.text(), "--output", self.output, "--force"]
        with reader.stdin as gone:
            done = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_closed_streams_are_opened_on_nothing(self):
        """Else the next file that is opened gets their number, and what libraries print."""
        code = (
            "import os, sys; sys.path.insert(0, sys.argv[1]);"
            "from preparation import streams; streams.guard();"
            "opened = [os.readlink(f'/proc/self/fd/{number}') for number in range(3)];"
            "open(sys.argv[2], 'w').write(' '.join(opened))"
        )
        seen = self.path("seen")
        launch = os.path.dirname(SCRIPT)
        command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code]
        subprocess.run([*command, launch, seen], timeout=120, check=True)
        with open(seen) as stream:
            self.assertEqual(stream.read().split(), ["/dev/null"] * 3)

    def test_a_closed_stream_keeps_the_status(self):
        words = [sys.executable, SCRIPT, "text", "--train", self.path("none.csv")]
        done = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *words], timeout=120)
        self.assertEqual(done.returncode, 2)

    def test_folder_that_is_read_only(self):
        if os.geteuid() != 0:
            os.mkdir(self.path("closed"), 0o500)
            self.inputs.add("closed")
            self.fail_with("Permission denied", *self.text(), output=self.path("closed/out.h5"))
        self.fail_with("cannot be written", *self.text(), output="/proc/out.h5")


if __name__ == "__main__":
    main()
