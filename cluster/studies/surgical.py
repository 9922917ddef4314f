#!/usr/bin/env python3
"""The study of surgical fine-tuning: which layers of a network should adapt to corrupted images.

Draws 1,000 images for training for each seed, chooses each method's learning rate on a fifth of the
first seed's, trains by `thaw train`, and measures on the other images by `thaw evaluate`. Runs that
are there are not done again. Started by cluster/studies/run.sh surgical, which has the packages that
corrupt images.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import numpy
from intervals import STUDENT
from surgical_tables import NORMS, choice_table, table

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CONFIGURATION = HERE / "surgical-cifar10.toml"
BLOCKS = ["stem", "layer1", "layer2", "layer3", "head"]
MEAN_AND_STD = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]  # of the weights' training


def stage(name: str, groups: list[str], rate: float, epochs: float, policy: str = "") -> str:
    return (
        f"[[schedule.stage]]\nname = {json.dumps(name)}\ngroups = {json.dumps(groups)}\n"
        f"learning-rate = {rate:g}\nuntil = {{ epochs = {epochs:g} }}\n{policy}"
    )


def trains(*groups: str):
    """One stage that trains these."""
    return lambda given, rate: stage("all", list(groups), rate, given.epochs)


def top_down(given: argparse.Namespace, rate: float) -> str:
    """From the head to the stem, as many epochs for each."""
    each = given.epochs / len(BLOCKS)
    return "".join(stage(BLOCKS[-n], BLOCKS[-n:], rate, each) for n in range(1, len(BLOCKS) + 1))


def auto_rgn(given: argparse.Namespace, rate: float) -> str:
    """Rates by relative gradient norms, a convolution each, taken anew every epoch."""
    steps = math.ceil(given.images / given.batch)
    policy = (f'policy = {{ kind = "auto-rgn", choose = "rates", every-steps = {steps}, '
              "probe-steps = 5, always = [] }\n")  # fmt: skip
    return stage("all", [name for name, _ in convolutions(given)], rate, given.epochs, policy)


def blocks(given: argparse.Namespace) -> list[tuple[str, list[str]]]:
    """A group for each block: name and patterns of parameters."""
    norms = given.norms == "trained"
    return [("stem", ["conv1.*", *(["bn1.*"] if norms else [])]),
            *((f"layer{i}", [f"layer{i}.*", *([] if norms else ["!*bn*"])]) for i in (1, 2, 3)),
            ("head", ["linear.*"])]  # fmt: skip


def convolutions(given: argparse.Namespace) -> list[tuple[str, list[str]]]:
    """A group for each convolution, and one for the head."""
    norms = given.norms == "trained"
    found = [("stem", ["conv1.*", *(["bn1.*"] if norms else [])])]
    for layer in (1, 2, 3):
        for block in range((given.depth - 2) // 6):
            for i in (1, 2):
                at = f"layer{layer}.{block}"
                found.append(
                    (f"{at}.conv{i}", [f"{at}.conv{i}.*", *([f"{at}.bn{i}.*"] if norms else [])])
                )
    return [*found, ("head", ["linear.*"])]


@dataclasses.dataclass
class Method:
    stages: object
    rates: tuple[float, ...]  # to choose from
    fine: bool = False  # a group is a convolution, not a block


METHODS = {
    "full": Method(trains(*BLOCKS), (1e-4, 1e-3, 1e-2)),
    "first block": Method(trains("stem", "layer1"), (1e-4, 1e-3, 1e-2)),
    "last layer": Method(trains("head"), (1e-3, 1e-2, 1e-1)),
    "top-down": Method(top_down, (1e-4, 1e-3, 1e-2)),
    "auto-rgn": Method(auto_rgn, (1e-4, 1e-3, 1e-2), fine=True),
}


def groups_of(given: argparse.Namespace, method: Method) -> str:
    """The groups as [[model.group]]. Normalisation that stays as it came is one that no stage names."""
    groups = convolutions(given) if method.fine else blocks(given)
    if given.norms == "kept":
        groups = [("norms", ["*bn*"]), *groups]
    return "".join(
        f"[[model.group]]\nname = {json.dumps(name)}\nparameters = {json.dumps(patterns)}\n"
        for name, patterns in groups
    )


@dataclasses.dataclass(frozen=True)
class Run:
    method: str
    corruption: str
    rate: float
    seed: int
    choosing: bool  # on a part of the images, measured on the rest of them

    def folder(self) -> str:
        kind = "choosing" if self.choosing else "compared"
        return f"{kind}/{self.corruption}/{self.method.replace(' ', '-')}/rate-{self.rate:g}/seed-{self.seed}"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--thaw", default=os.environ.get("THAW", "build/thaw"))
    add("--test-images", required=True, help="npz with x (N x 3 x 32 x 32 bytes) and y: CIFAR-10's test set")
    add("--weights", required=True, help="safetensors of a CIFAR ResNet trained on CIFAR-10")
    add("--depth", type=int, required=True, help="of that ResNet")
    add("--corruptor", required=True, help="a Python that has the packages of imagecorruptions.txt")
    add("--corruptions", default="gaussian_noise,impulse_noise,fog,contrast,jpeg_compression",
        help="NAME or NAME:SEVERITY, comma-separated")  # fmt: skip
    add("--severity", type=int, default=5)
    add("--methods", default=",".join(METHODS), help="some of them")
    add("--norms", choices=("kept", "trained"), default="kept",
        help="kept: normalisation stays as it came, in every method, as in the paper's code (but for its "
        "scales); trained: that of active layers is trained, with the batch's statistics")  # fmt: skip
    add("--images", type=int, default=1000, help="to train with")
    add("--measured", type=int, default=0, help="images to measure on; 0: all others")
    add("--rate", type=float, help="the learning rate of all methods, in place of a choice for each")
    add("--epochs", type=float, default=15)
    add("--batch", type=int, default=64)
    add("--seeds", type=int, default=5)
    add("--parallel", type=int, default=os.cpu_count(), help="runs at a time, of a core each")
    add("--data", default="data/surgical", help="folder of the corrupted images")
    add("--output", default="runs/studies/surgical", help="folder of the runs and the report")
    given, given.overrides = parser.parse_known_args()
    given.methods = [name for name in given.methods.split(",") if name]
    unknown = set(given.methods) - set(METHODS)
    if unknown or "full" not in given.methods:
        parser.error(f"--methods: full, to compare with, and some of {', '.join(METHODS)}")
    if not 2 <= given.seeds <= max(STUDENT):
        parser.error(f"--seeds: 2 to {max(STUDENT)}, or there is no interval")
    named = [each.partition(":") for each in given.corruptions.split(",") if each]
    given.corruptions = [f"{name}-{severity or given.severity}" for name, _, severity in named]
    return given


def said_by(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nended with status {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


# --- data ---


def corrupted(given: argparse.Namespace, corruption: str) -> pathlib.Path:
    """All images, corrupted."""
    path = pathlib.Path(given.data).resolve() / f"{corruption}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        name, severity = corruption.rsplit("-", 1)
        said_by([given.corruptor, str(HERE / "corrupt_images.py"), given.test_images, str(path), name,
                 severity])  # fmt: skip
    return path


def drawn(labels: numpy.ndarray, count: int, seed: int) -> numpy.ndarray:
    """As many of each class, at random, in random order."""
    generator = numpy.random.default_rng(seed)
    classes = numpy.unique(labels)
    of_classes = [generator.permutation(numpy.flatnonzero(labels == each))[: count // len(classes)]
                  for each in classes]  # fmt: skip
    return generator.permutation(numpy.concatenate(of_classes))


def dataset(given: argparse.Namespace, run: Run) -> pathlib.Path:
    """The file of a run: `train`, and `test` to measure on. Runs that share it make it once."""
    kind = "choosing" if run.choosing else "compared"
    counts = f"{given.images}-{given.measured or 'all'}"
    path = pathlib.Path(given.data).resolve() / f"{run.corruption}-{kind}-{counts}-seed-{run.seed}.h5"
    if path.exists():
        return path
    arrays = numpy.load(corrupted(given, run.corruption))
    x, y = arrays["x"], arrays["y"]
    train = drawn(y, given.images, run.seed)
    if run.choosing:
        test = train[: given.images // 5]
        train = train[given.images // 5 :]
    else:
        others = numpy.setdiff1d(numpy.arange(len(y)), train)
        test = others if not given.measured else others[drawn(y[others], given.measured, run.seed)]
    split = path.with_suffix(".npz")
    numpy.savez(split, x=x[train], y=y[train], x_test=x[test], y_test=y[test])
    classes = path.with_suffix(".classes")  # all of them, whichever were drawn
    classes.write_text("".join(f"{i}\n" for i in range(y.max() + 1)), encoding="utf-8")
    part = path.with_suffix(".part.h5")
    said_by([sys.executable, str(ROOT / "launch/prepare.py"), "images", *MEAN_AND_STD, "--train",
             f"{split}:x,y", "--test", f"{split}:x_test,y_test", "--classes", str(classes), "--force",
             "--output", str(part)])  # fmt: skip
    os.replace(part, path)
    split.unlink()
    classes.unlink()
    return path


# --- runs ---


def settings_of(given: argparse.Namespace) -> dict:
    """What runs must share to be compared."""
    return {"weights": pathlib.Path(given.weights).name, "depth": given.depth, "norms": given.norms,
            "images": given.images, "measured": given.measured, "epochs": given.epochs,
            "batch": given.batch, "overrides": given.overrides,
            "configuration": CONFIGURATION.read_text(encoding="utf-8")}  # fmt: skip


def evaluated(given: argparse.Namespace, config: str, weights: str, flags: list[str]) -> dict:
    line = said_by([given.thaw, "evaluate", config, "--weights", weights, "--split", "test", *flags])
    return json.loads(line.strip().splitlines()[-1])


def flags_of(given: argparse.Namespace, data: pathlib.Path) -> list[str]:
    return ["--model.weights", given.weights, "--model.depth", str(given.depth), "--data.file", str(data),
            "--data.batch", str(given.batch), *given.overrides]  # fmt: skip


def kept(result: pathlib.Path, settings: dict) -> dict | None:
    if not result.exists():
        return None
    found = json.loads(result.read_text(encoding="utf-8"))
    if found["settings"] != settings:
        raise SystemExit(f"{result}: has other settings; give another --output")
    return found


said = threading.Lock()


def carry_out(given: argparse.Namespace, run: Run) -> dict:
    """Accuracy, loss, operations and seconds of a run; as they are kept, where it was done before."""
    folder = pathlib.Path(given.output).resolve() / run.folder()
    result, settings = folder / "result.json", settings_of(given)
    if found := kept(result, settings):
        return found
    folder.mkdir(parents=True, exist_ok=True)
    config, method = folder / "config.toml", METHODS[run.method]
    config.write_text("\n".join([settings["configuration"], groups_of(given, method),
                                 method.stages(given, run.rate)]), encoding="utf-8")  # fmt: skip
    flags = flags_of(given, dataset(given, run))
    seeds = ["--data.seed", str(run.seed), "--train.seed", str(run.seed)]
    shutil.rmtree(folder / "run", ignore_errors=True)  # of one that was interrupted
    said_by([given.thaw, "train", str(config), "--run-dir", str(folder / "run"), *flags, *seeds,
             "--output.progress", "off"])  # fmt: skip
    weights = folder / "run" / "weights.safetensors"
    summary = json.loads((folder / "run" / "summary.json").read_text(encoding="utf-8"))
    figures = evaluated(given, str(config), str(weights), flags)
    found = {**dataclasses.asdict(run), "settings": settings, "accuracy": figures["accuracy"],
             "loss": figures["loss"], "flops": sum(each["flops"] for each in summary["stages"]),
             "seconds": summary["seconds"]}  # fmt: skip
    result.write_text(json.dumps(found, indent=1), encoding="utf-8")
    with said:
        print(f"{run.folder()}: {100 * found['accuracy']:.2f} %, {found['seconds']:.0f} s", file=sys.stderr,
              flush=True)  # fmt: skip
    return found


def carry_out_all(given: argparse.Namespace, runs: list[Run]) -> list[dict]:
    for run in runs:  # one by one: several runs share a file
        dataset(given, run)
    with concurrent.futures.ThreadPoolExecutor(given.parallel) as pool:
        waiting = [pool.submit(carry_out, given, run) for run in runs]
        try:
            return [each.result() for each in waiting]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def before(given: argparse.Namespace, corruption: str) -> float:
    """The accuracy of the weights as they came, on the first seed's images."""
    result = pathlib.Path(given.output).resolve() / "before" / corruption / "result.json"
    settings = settings_of(given)
    if found := kept(result, settings):
        return found["accuracy"]
    result.parent.mkdir(parents=True, exist_ok=True)
    config = result.with_name("config.toml")
    config.write_text("\n".join([settings["configuration"], groups_of(given, METHODS["full"]),
                                 METHODS["full"].stages(given, 1e-3)]), encoding="utf-8")  # fmt: skip
    flags = flags_of(given, dataset(given, Run("full", corruption, 0, 0, choosing=False)))
    figures = evaluated(given, str(config), given.weights, flags)
    result.write_text(json.dumps({"settings": settings, "accuracy": figures["accuracy"]}), encoding="utf-8")
    return figures["accuracy"]


def chosen_rates(given: argparse.Namespace) -> list[dict]:
    """Of each method on each corruption the rate that is best, and what each gave."""
    pairs = [(corruption, method) for corruption in given.corruptions for method in given.methods]
    if given.rate:
        return [{"corruption": corruption, "method": method, "rate": given.rate, "tried": {}}
                for corruption, method in pairs]  # fmt: skip
    found = carry_out_all(given, [Run(method, corruption, rate, 0, choosing=True)
                                  for corruption, method in pairs
                                  for rate in METHODS[method].rates])  # fmt: skip
    choices = []
    for corruption, method in pairs:
        tried = {one["rate"]: one["accuracy"] for one in found
                 if one["method"] == method and one["corruption"] == corruption}  # fmt: skip
        best = max(tried, key=tried.get)
        choices.append({"corruption": corruption, "method": method, "rate": best, "tried": tried})
    return choices


def main() -> None:
    given = parse()
    start = {corruption: before(given, corruption) for corruption in given.corruptions}
    print("not adapted:", ", ".join(f"{name} {100 * of:.1f} %" for name, of in start.items()), file=sys.stderr)
    choices = chosen_rates(given)
    runs = carry_out_all(given, [  # seed by seed: what is interrupted has whole pairs
        Run(each["method"], each["corruption"], each["rate"], seed, choosing=False)
        for seed in range(given.seeds) for each in choices
    ])  # fmt: skip
    text = (
        f"# ResNet-{given.depth} adapts to corrupted CIFAR-10: {given.images} images, {given.epochs:g} epochs, "
        f"{given.seeds} seeds\n\nAccuracy in %, means over seeds with 95 % confidence intervals; seeds pair "
        f"the runs, and draw the images. {NORMS[given.norms]}\n\n{table(given, runs, start)}\n"
    )
    if not given.rate:
        text += "\n" + choice_table(given, choices)
    print(text)
    folder = pathlib.Path(given.output)
    (folder / "report.md").write_text(text, encoding="utf-8")
    brief = [{key: of for key, of in one.items() if key != "settings"} for one in runs]
    report = {"settings": settings_of(given), "before": start, "choices": choices, "runs": brief}
    (folder / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
