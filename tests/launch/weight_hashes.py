"""What small runs come to, as hashes of their final weights: shows that a change kept the bits.

    THAW_COMMAND=build/thaw python3 tests/launch/weight_hashes.py --output before.json
    ... the change, a build ...
    THAW_COMMAND=build/thaw python3 tests/launch/weight_hashes.py --output after.json
    python3 tests/launch/weight_hashes.py --compare before.json after.json

Each preset on a small ResNet and a small BERT, at 1 and 2 ranks and canonical; with --quickstart
also 60 steps of configs/quickstart.toml, whose data the quick start makes. Every tensor counts, with
its name, dtype and shape; what else the file says does not. One thread a rank. Bits depend on the
kind of CPU, so both files come from one machine. No test: it has nothing to compare with by itself.
"""

import argparse
import hashlib
import json
import pathlib
import shutil
import sys

from command_fixture import ROOT, CommandTest, require

PRESETS = {
    "full": "total-epochs = 2",
    "head-only": "total-epochs = 2",
    "top-down": "stage-epochs = 1",
    "bottom-up": "stage-epochs = 1",
    "chain-thaw": "stage-epochs = 1",
    "head-then-all": "stage-epochs = 1",
    "freeze-out": "total-epochs = 4",
    "random": "total-epochs = 3\npolicy-every-steps = 3",
    "auto-freeze": "total-epochs = 3\npolicy-every-steps = 2",
    "auto-rgn": "total-epochs = 3\npolicy-every-steps = 2",
    "gradient-guided": "total-epochs = 3\npolicy-every-steps = 2",
}
MODELS = {
    "resnet": ('architecture = "resnet-cifar"\ndepth = 8\nweights = ""', "images.h5", "sgd", 0.01),
    "bert": ('architecture = "bert"\nconfig = "config.json"\nweights = ""', "texts.h5", "adamw", 1e-3),
}  # fmt: skip
# A ResNet's BatchNorms take statistics over the global batch, which canonical sums refuse.
WAYS = {
    "1 rank": (1, ""),
    "2 ranks": (2, ""),
    "canonical": (2, 'reduction = "canonical"\nshards = 4'),
}


def tensors_hash(path: pathlib.Path) -> str:
    """Of a safetensors file's tensors alone, in the order of their names."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    hasher = hashlib.sha256()
    for name, entry in sorted(header.items()):
        begin, end = entry["data_offsets"]
        hasher.update(f"{name} {entry['dtype']} {entry['shape']}\n".encode())
        hasher.update(content[8 + length + begin : 8 + length + end])
    return hasher.hexdigest()


class Runs(CommandTest):
    """Borrows the tests' folder, data and way to run the command."""

    def runTest(self):
        """Nothing: the runs are asked for one by one."""

    def prepare(self):
        self.setUp()
        self.images()
        self.texts()
        self.tiny_bert(layers=4)

    def train(self, name, config, ranks, *flags):
        self.thaw("train", config, "--run-dir", name, "--train.threads", "1", *flags, ranks=ranks)
        found = tensors_hash(self.folder / name / "weights.safetensors")
        shutil.rmtree(self.folder / name)
        return found

    def preset(self, model, preset, way):
        section, data, optimizer, rate = MODELS[model]
        ranks, extra = WAYS[way]
        config = self.write(
            f"{model}-{preset}.toml",
            f'[model]\n{section}\n[data]\nfile = "{data}"\nbatch = 12\n[train]\noptimizer = '
            f'"{optimizer}"\nclip-norm = 1.0\n{extra}\n[schedule]\npreset = "{preset}"\n'
            f"learning-rate = {rate}\n{PRESETS[preset]}\n",
        )
        return self.train("run", config, ranks)

    def quickstart(self, way):
        ranks, _ = WAYS[way]
        for name in ("data", "configs"):
            if not (self.folder / name).exists():
                (self.folder / name).symlink_to(ROOT / name)
        lengths = {"head": 15, "upper-third": 15, "upper-two-thirds": 15, "all-layers": 15}
        flags = [word for stage, steps in lengths.items()
                 for word in (f"--schedule.stage.{stage}.until.steps", str(steps))]  # fmt: skip
        if way == "canonical":
            flags += ["--train.reduction", "canonical"]
        return self.train("quickstart", "configs/quickstart.toml", ranks, *flags)


def collect(quickstart: bool) -> dict:
    runs, found = Runs(), {}
    runs.prepare()
    try:
        for model in MODELS:
            for preset in PRESETS:
                for way in WAYS:
                    if model == "resnet" and way == "canonical":
                        continue
                    found[f"{model}, {preset}, {way}"] = runs.preset(model, preset, way)
                    print(f"{model}, {preset}, {way}", file=sys.stderr)
        for way in WAYS if quickstart else ():
            found[f"quickstart, {way}"] = runs.quickstart(way)
    finally:
        runs.doCleanups()
    return found


def compare(before: dict, after: dict) -> int:
    """Prints each run whose weights differ or that only one file has; their number."""
    differing = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    for name in differing:
        print(f"differs: {name}: {before.get(name)} and {after.get(name)}")
    print(f"{len({*before, *after}) - len(differing)} the same, {len(differing)} differ")
    return len(differing)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--quickstart", action="store_true")
    parser.add_argument("--compare", nargs=2, type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.compare:
        sys.exit(bool(compare(*(json.loads(path.read_text()) for path in arguments.compare))))
    require()
    found = json.dumps(collect(arguments.quickstart), indent=1) + "\n"
    if arguments.output:
        arguments.output.write_text(found)
    else:
        print(found, end="")


if __name__ == "__main__":
    main()
