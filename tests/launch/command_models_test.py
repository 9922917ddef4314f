"""Real networks with trained weights: known accuracies, and 30 steps that agree at 1 to 4 ranks."""

import json
import subprocess
import sys
import unittest

from command_fixture import DATA, MINILM, ROOT, CommandTest, h5py, np, require

IMAGENET = ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")


class Trained(CommandTest):
    def cifar10(self, samples):
        """So many of the test set's 10,000 images, which lie there class by class."""
        source = DATA / "cifar10-test.npz"
        if not source.is_file():
            self.skipTest(f"{source} is not there")
        with np.load(source) as arrays:
            np.savez(self.folder / "first.npz", x=arrays["x"][::10000 // samples],
                     y=arrays["y"][::10000 // samples])
        subprocess.run([sys.executable, ROOT / "launch/prepare.py", "images", "--test",
                        f"{self.folder / 'first.npz'}:x,y", *IMAGENET, "--output",
                        self.folder / "cifar10.h5", "--force"], check=True, capture_output=True)

    def evaluate(self, depth, ranks):
        self.write("cifar.toml", f"""
[model]
architecture = "resnet-cifar"
depth = {depth}
weights = "{DATA / f'resnet{depth}-cifar10.safetensors'}"
head = "loaded"
[data]
file = "cifar10.h5"
batch = 250
[schedule]
preset = "head-only"
""")
        line = self.thaw("evaluate", "cifar.toml", "--split", "test", ranks=ranks).stdout
        return json.loads(line)

    def expect_accuracy(self, depth, ranks, samples, accuracy):
        self.cifar10(samples)
        found = self.evaluate(depth, ranks)
        self.assertEqual(found["samples"], samples)
        self.assertAlmostEqual(found["accuracy"], accuracy, places=9)

    def test_a_resnet_has_the_accuracy_that_is_known_of_its_weights(self):
        self.expect_accuracy(20, 2, 10000, 0.9173)

    # Of every tenth, what a forward pass in NumPy gets right: the nearest decision among them has a
    # margin of 5e-4 between its logits.
    def test_so_have_others_at_other_numbers_of_ranks(self):
        for depth, ranks, accuracy in ((20, 1, 0.912), (20, 3, 0.912), (56, 2, 0.939)):
            self.expect_accuracy(depth, ranks, 1000, accuracy)


class ThirtySteps(CommandTest):
    """Float32, dropout on, a global batch that 3 does not divide, a last batch of one sample."""

    STEPS = 30

    def losses(self, config, ranks):
        run = f"run{ranks}"
        self.thaw("train", config, "--run-dir", run, "--train.evaluate-every", "1000", ranks=ranks)
        return [step["loss"] for step in self.metrics(run)]

    def patterns(self, name, samples, classes, seed):
        """Images of a pattern a class beneath noise, as large as CIFAR's."""
        generator = np.random.default_rng(seed)
        coarse = generator.integers(60, 196, (classes, 3, 8, 8))
        labels = generator.integers(0, classes, samples)
        images = coarse.repeat(4, 2).repeat(4, 3)[labels]
        with h5py.File(self.folder / name, "w") as file:
            noisy = images + generator.normal(0, 60, (samples, 3, 32, 32))
            file["train/inputs"] = noisy.clip(0, 255).astype(np.uint8)
            file["train/labels"] = labels.astype(np.int64)
            file.attrs["classes"] = [str(c) for c in range(classes)]
            file.attrs["mean"] = [0.5, 0.5, 0.5]
            file.attrs["std"] = [0.25, 0.25, 0.25]

    def trained_resnet20(self):
        """Weights that have learnt ten patterns for a while, as those of others would have."""
        self.patterns("ten.h5", 640, 10, seed=1)
        self.write("ten.toml", """
model = { architecture = "resnet-cifar", depth = 20, weights = "" }
data = { file = "ten.h5", batch = 64 }
train = { optimizer = "sgd", evaluate-every = 1000 }
schedule = { preset = "full", learning-rate = 0.05, total-epochs = 4 }
""")
        self.thaw("train", "ten.toml", "--run-dir", "ten", threads=2)
        first, last = [self.metrics("ten")[i]["loss"] for i in (0, -1)]
        self.assertLess(last, 0.7 * first)
        return self.folder / "ten" / "weights.safetensors"

    def compare(self, config, several):
        """That so many ranks have the losses of one."""
        one = self.losses(config, 1)
        self.assertEqual(len(one), self.STEPS)
        for ranks in several:
            for step, (loss, expected) in enumerate(zip(self.losses(config, ranks), one, strict=True)):
                self.assertLess(abs(loss - expected), 1e-4 * abs(expected),
                                f"{ranks} ranks, step {step + 1}: {loss} for {expected}")

    def test_minilm(self):
        if not (MINILM / "model.safetensors").is_file():
            self.skipTest(f"{MINILM} is not there; launch/quickstart.sh gets it")
        self.texts(train=8 * 9 + 1, classes=5)  # 10 steps an epoch, the last of one sample
        self.write("minilm.toml", f"""
[model]
architecture = "bert"
weights = "{MINILM / 'model.safetensors'}"
config = "{MINILM / 'config.json'}"
dropout = 0.1
attention-dropout = 0.1
[data]
file = "texts.h5"
batch = 8
[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 1e-3
until = {{ epochs = 1 }}
[[schedule.stage]]
name = "upper"
groups = ["encoder.[45]", "head"]
learning-rate = 1e-4
until = {{ epochs = 1 }}
[[schedule.stage]]
name = "all"
groups = ["*"]
learning-rate = 5e-5
until = {{ epochs = 1 }}
""")
        self.compare("minilm.toml", several=(2, 3))

    def test_resnet20(self):
        weights = self.trained_resnet20()
        self.patterns("twenty.h5", 64 * 9 + 1, 20, seed=2)
        self.write("resnet20.toml", f"""
[model]
architecture = "resnet-cifar"
depth = 20
weights = "{weights}"
head = "new"
[data]
file = "twenty.h5"
batch = 64
crop-padding = 4
horizontal-flip = true
[train]
optimizer = "sgd"
[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 0.01
until = {{ epochs = 1 }}
[[schedule.stage]]
name = "all"
groups = ["*"]
learning-rate = 1e-3
until = {{ epochs = 2 }}
""")
        self.compare("resnet20.toml", several=(3, 4))


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
