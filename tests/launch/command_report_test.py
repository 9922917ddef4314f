"""What a run can be seen by: `thaw report`, its page in a browser, TensorBoard's files, a trace."""

import html.parser
import json
import os
import re
import shutil
import signal
import subprocess
import time
import unittest

from command_fixture import THAW, CommandTest, require, two_stages

VOID = {"meta", "link", "br", "img", "input", "hr"}
LOOK = ("--output.tensorboard", "true", "--output.trace-steps", "3", "--train.clip-norm", "1")

# In the page: tells the page around it how wide it is shown, how wide it is, and what went wrong.
# Browsers make no window as narrow as a phone's, but any frame.
MEASURE = """
<script>
var errors = 0;
window.addEventListener('error', function () { errors += 1; });
window.addEventListener('load', function () {
  var page = document.documentElement;
  var right = 0;
  document.querySelectorAll('svg').forEach(function (chart) {
    right = Math.max(right, Math.ceil(chart.getBoundingClientRect().right));
  });
  parent.postMessage([page.clientWidth, page.scrollWidth, errors, right].join(' '), '*');
});
</script>
"""
FRAME = """<!doctype html>
<body><script>
window.addEventListener('message', function (event) {
  document.body.setAttribute('data-measured', event.data);
});
</script><iframe src="measured.html" style="width:%dpx;height:900px;border:0"></iframe></body>
"""


class Page(html.parser.HTMLParser):
    """A page as a tree would be made of it: tags that do not close are noted, and what is loaded."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.faults, self.loaded, self.texts, self.data = [], [], [], [], None
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.loaded += [found[k] for k in ("src", "href") if k in found]
        if tag not in VOID:
            self.open.append(tag)
        if found.get("id") == "report-data":
            self.data = ""

    def handle_startendtag(self, tag, attributes):
        self.loaded += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> within {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            if self.data == "":
                self.data = data
        else:
            self.texts.append(data)


class Report(CommandTest):
    def setUp(self):
        super().setUp()
        self.images(train=60)
        self.config = self.resnet_config(stages=two_stages("epochs = 2", "epochs = 2"))

    def train(self, run="run", *more, ranks=0):
        return self.thaw("train", self.config, "--run-dir", run, *LOOK, *more, ranks=ranks)

    def page(self, *arguments, at="run/report.html"):
        self.thaw("report", *arguments)
        text = (self.folder / at).read_text(encoding="utf-8")
        page = Page(text)
        self.assertEqual(page.faults, [])
        self.assertEqual(page.loaded, [])
        self.assertNotRegex(text, r"(?<![\w/])nan\b")
        return page, text

    def test_evaluations_tell_of_groups_at_any_number_of_ranks(self):
        self.train()
        whole = self.metrics("run", "evaluation")
        for line in whole:
            self.assertIn("peak_memory_bytes", line)
            self.assertEqual(len(line["confusion"]), 3)
            self.assertEqual(sum(map(sum, line["confusion"])), line["samples"])
            for name, group in line["groups"].items():
                active = name == "head" or (name == "layer3" and line["stage"] == "upper")
                self.assertEqual(group["moved"] > 0, active, (name, line["stage"]))
                self.assertEqual("gradient_norm" in group, active, name)
            self.assertAlmostEqual(sum(g["time_share"] for g in line["groups"].values()), 1)
        self.train("two", ranks=2)
        for one, other in zip(whole, self.metrics("two", "evaluation"), strict=True):
            for name, group in one["groups"].items():
                self.assertAlmostEqual(group["moved"], other["groups"][name]["moved"], 4)

    def test_page_of_a_run_and_of_several(self):
        self.train()
        self.train("other", "--train.seed", "1")
        page, _ = self.page("run")
        [run] = json.loads(page.data)
        self.assertEqual(run["state"], "finished")
        self.assertEqual([stage["name"] for stage in run["stages"]], ["head", "upper"])
        self.assertEqual(len(run["validation"]["accuracy"]["y"]), 4)
        spent = sum(run["times"].values())
        # What no part has are moments between them; a part that is left out is a good deal more.
        self.assertAlmostEqual(spent, run["seconds"], delta=0.15 * spent)
        self.assertIn("Where time went", "".join(page.texts))
        page, _ = self.page("run", "other", "--output", "both.html", at="both.html")
        self.assertEqual([run["name"] for run in json.loads(page.data)], ["run", "other"])
        self.assertIn("there is no such folder", self.refused("report", "nothing"))

    def test_of_many_classes_log_and_page_have_the_mistakes(self):
        self.images(train=60, validation=40, classes=20)
        self.train()
        line = self.metrics("run", "evaluation")[-1]
        self.assertNotIn("confusion", line)
        wrong = round((1 - line["accuracy"]) * line["samples"])
        counts = [each["samples"] for each in line["mistakes"]]
        self.assertEqual(counts, sorted(counts, reverse=True))
        self.assertTrue(0 < sum(counts) <= wrong, (counts, wrong))
        self.assertTrue(all(each["class"] != each["said"] for each in line["mistakes"]))
        page, _ = self.page("run")
        self.assertIn("Most often taken for another", "".join(page.texts))

    def test_damaged_logs_are_told_and_their_text_is_only_text(self):
        self.train()
        log = self.folder / "run/metrics.jsonl"
        lines = log.read_text(encoding="utf-8").splitlines()
        hostile = lines[0].replace('"head"', '"<img src=x onerror=alert(1)>"')
        log.write_text("\n".join([hostile, *lines[1:4], "{", *lines[4:]]) + "\n", encoding="utf-8")
        page, text = self.page("run")
        self.assertIn("metrics.jsonl:5", "".join(page.texts))
        self.assertNotIn("<img", text)
        log.unlink()
        page, _ = self.page("run")
        self.assertIn("no event yet", "".join(page.texts))

    def test_watch_follows_a_run_until_it_ends(self):
        long = self.resnet_config(name="long.toml", stages=two_stages("steps = 60", "steps = 60"))
        job = subprocess.Popen([THAW, "train", long, "--run-dir", "run"], cwd=self.folder,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=dict(os.environ, OMP_NUM_THREADS="1"))
        self.addCleanup(job.kill)
        deadline = time.monotonic() + 120
        log = self.folder / "run/metrics.jsonl"
        while not (log.exists() and '"event":"step"' in log.read_text(encoding="utf-8")):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        job.send_signal(signal.SIGSTOP)  # so that it has not ended when the page comes
        self.assertIsNone(job.poll(), "it ended before it could be watched")
        watch = subprocess.Popen([THAW, "report", "run", "--watch"], cwd=self.folder)
        self.addCleanup(watch.kill)
        page = self.folder / "run/report.html"
        while not (page.exists() and "location.reload" in page.read_text(encoding="utf-8")):
            self.assertLess(time.monotonic(), deadline, "no page of a run that goes on")
            time.sleep(0.05)
        job.send_signal(signal.SIGCONT)
        self.assertEqual(job.wait(timeout=120), 0)
        self.assertEqual(watch.wait(timeout=120), 0)
        text = page.read_text(encoding="utf-8")
        self.assertNotIn("location.reload", text)
        [run] = json.loads(Page(text).data)
        self.assertEqual((run["state"], run["steps"]), ("finished", 120))

    def test_the_page_fits_a_small_screen_in_a_browser(self):
        browser = next(filter(None, map(shutil.which, (
            "chromium", "chromium-browser", "google-chrome", "chrome"))), None)
        if browser is None:
            self.skipTest("no Chromium is installed")
        self.train()
        _, text = self.page("run")
        self.write("measured.html", text.replace("<body>", "<body>" + MEASURE, 1))
        for width in (400, 1200):
            frame = self.write("frame.html", FRAME % width)
            done = subprocess.run(
                [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
                 "--virtual-time-budget=5000", "--enable-logging=stderr", "--v=0",
                 f"--user-data-dir={self.folder}/profile", frame.as_uri()],
                capture_output=True, text=True, timeout=120, check=True)
            self.assertNotIn("CONSOLE", done.stderr)
            measured = re.search(r'data-measured="(\d+) (\d+) (\d+) (\d+)"', done.stdout)
            self.assertIsNotNone(measured, done.stdout[-2000:])
            shown, wide, errors, charts = map(int, measured.groups())
            self.assertLessEqual(shown, width)
            self.assertGreater(shown, width - 40)
            self.assertLessEqual(wide, shown)
            self.assertTrue(0 < charts <= shown, "charts are shown whole")
            self.assertEqual(errors, 0)

    def test_tensorboard_has_the_numbers_of_the_log(self):
        try:
            from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        except ImportError as error:
            self.skipTest(f"{error}; tests/core/record/tensorboard_test.cpp reads the files itself")
        self.train()
        events = EventAccumulator(str(self.folder / "run/tensorboard"), size_guidance={"scalars": 0})
        events.Reload()

        def scalars(tag):
            return [(event.step, event.value) for event in events.Scalars(tag)]

        def logged(event, *keys):
            found = []
            for line in self.metrics("run", event):
                value = line
                for key in keys:
                    value = value[key]
                found.append((line["step"], value))
            return found

        for tag, path in (("train/loss", ("step", "loss")),
                          ("learning_rate/head", ("step", "learning_rates", "head")),
                          ("gradient_norm", ("step", "gradient_norm")),
                          ("seconds/backward", ("step", "seconds", "backward")),
                          ("validation/loss", ("evaluation", "loss")),
                          ("validation/macro-f1", ("evaluation", "macro_f1")),
                          ("moved/head", ("evaluation", "groups", "head", "moved"))):
            with self.subTest(tag=tag):
                found, expected = scalars(tag), logged(*path)
                self.assertEqual([step for step, _ in found], [step for step, _ in expected])
                for (_, one), (_, other) in zip(found, expected):
                    self.assertAlmostEqual(one, other, delta=1e-6 * max(1, abs(other)))

    def test_trace_has_the_ranks_side_by_side(self):
        self.train(ranks=2)
        trace = json.loads((self.folder / "run/trace-1.json").read_text(encoding="utf-8"))
        complete = [event for event in trace["traceEvents"] if event["ph"] == "X"]
        self.assertEqual({event["pid"] for event in complete}, {0, 1})
        for rank in (0, 1):
            steps = [e for e in complete if e["pid"] == rank and e["cat"] == "step"]
            self.assertEqual([e["name"] for e in steps], ["step 1", "step 2", "step 3"])
            for phase in ("data", "forward", "backward", "reduction", "optimizer"):
                inside = [e for e in complete if e["pid"] == rank and e["name"] == phase]
                self.assertEqual(len(inside), 3, phase)
                for step, event in zip(steps, inside):
                    self.assertGreaterEqual(event["ts"], step["ts"] - 1e-3)
                    self.assertLessEqual(event["ts"] + event["dur"],
                                         step["ts"] + step["dur"] + 1e-3)


if __name__ == "__main__":
    require()
    unittest.main()
