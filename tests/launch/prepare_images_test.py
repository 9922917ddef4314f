"""prepare.py images: arrays of npz and IDX files."""

import gzip
import importlib
import json
import os
import struct
import unittest
from unittest import mock

from prepare_fixture import DATA, PrepareTest, main, np, pixels

FASHION = "/usr/share/datasets/fashion-mnist"


class ArrayTest(PrepareTest):
    def npz(self, name: str = "a.npz", **arrays) -> str:
        self.inputs.add(name)
        np.savez_compressed(self.path(name), **arrays)
        return self.path(name)

    def idx(self, name: str, values, code: int = 0x08, cut: int = 0) -> str:
        head = bytes([0, 0, code, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
        content = head + values.tobytes()
        return self.write(name, content[: len(content) - cut] if cut >= 0 else content + b"\0")

    def test_npz(self):
        x, y = pixels(7, 3, 4, 5), np.arange(7) % 2
        path = self.npz(x=x, y=y)
        mean = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
        file = self.succeed("images", "--test", f"{path}:x,y", *mean)
        self.assertEqual(set(file), {"test"})
        inputs = file["test/inputs"]
        self.assertEqual((inputs.dtype, inputs.chunks), (np.uint8, None))
        np.testing.assert_array_equal(inputs, x)
        np.testing.assert_array_equal(file["test/labels"], y)
        self.assertEqual(file["test/labels"].dtype, np.dtype("<i8"))
        self.assertEqual(file.attrs["classes"].tolist(), ["0", "1"])
        self.assertEqual(file.attrs["mean"].tolist(), [0.485, 0.456, 0.406])
        self.assertEqual(file.attrs["std"].tolist(), [0.229, 0.224, 0.225])
        self.assertEqual(json.loads(file.attrs["sources"])[0]["file"], "a.npz")
        self.assertNotIn("mean", self.succeed("images", "--test", f"{path}:x,y").attrs)

    def test_layouts_become_channels_first(self):
        y = np.arange(6) % 2
        rgb, grey = pixels(6, 5, 4, 3), pixels(6, 5, 4)
        cases = [
            (rgb, rgb.transpose(0, 3, 1, 2), []),
            (grey, grey[:, None], []),
            (grey[..., None], grey[:, None], []),
            (grey[:, None], grey[:, None], []),
            (grey, np.repeat(grey[:, None], 3, axis=1), ["--rgb"]),
            (pixels(6, 3, 8, 3), pixels(6, 3, 8, 3), ["--layout", "NCHW"]),
            (pixels(6, 3, 8, 3), pixels(6, 3, 8, 3).transpose(0, 3, 1, 2), ["--layout", "NHWC"]),
            (np.asfortranarray(rgb), rgb.transpose(0, 3, 1, 2), []),
            (rgb.astype(np.int64), rgb.transpose(0, 3, 1, 2), []),
        ]
        for x, expected, options in cases:
            path = self.npz(x=x, y=y)
            file = self.succeed("images", "--train", f"{path}:x,y", *options)
            self.assertEqual(file["train/inputs"].dtype, np.uint8)
            np.testing.assert_array_equal(file["train/inputs"], expected)
            file.close()

    def test_floats_stay_floats(self):
        x = np.random.default_rng(0).normal(size=(4, 2, 2, 3))
        path = self.npz(x=x, y=np.zeros(4, np.int32))
        units = ["--mean", "9,9,9", "--std", "9,9,9"]  # its own, not 0 … 1
        file = self.succeed("images", "--train", f"{path}:x,y", *units)
        self.assertEqual(file["train/inputs"].dtype, np.dtype("<f4"))
        np.testing.assert_array_equal(file["train/inputs"], x.transpose(0, 3, 1, 2).astype("f4"))

    def test_slabs(self):
        """Reading and splitting do not depend on where a slab ends."""
        x, y = pixels(50, 3, 8, 8), np.arange(50) % 5
        path = self.npz(x=x, y=y)
        whole = self.succeed("images", "--train", f"{path}:x,y", "--validation-fraction", 0.2)
        expected = {split: whole[split].attrs["fingerprint"] for split in whole}
        self.assertEqual(np.bincount(whole["validation/labels"]).tolist(), [2] * 5)
        both = np.concatenate([whole["train/inputs"], whole["validation/inputs"]])
        self.assertEqual(sorted(map(bytes, both)), sorted(map(bytes, x)))
        for split in whole:
            for image, label in zip(whole[split]["inputs"], whole[split]["labels"]):
                self.assertEqual(y[np.argmax((x == image).all(axis=(1, 2, 3)))], label)
        whole.close()
        arrays = importlib.import_module("preparation.images.raw_arrays")
        with mock.patch.object(arrays, "SLAB_BYTES", 7 * 3 * 8 * 8):
            parts = self.succeed("images", "--train", f"{path}:x,y", "--validation-fraction", 0.2)
        self.assertEqual({split: parts[split].attrs["fingerprint"] for split in parts}, expected)

    def test_labels(self):
        x = pixels(4, 3, 4, 4)
        path = self.npz(x=x, column=np.array([[1], [0], [1], [2]], np.uint8))
        file = self.succeed("images", "--train", f"{path}:x,column")
        self.assertEqual(file["train/labels"][:].tolist(), [1, 0, 1, 2])
        names = self.write("classes.txt", "cat\ndog\nowl\nfox\n")
        file = self.succeed("images", "--train", f"{path}:x,column", "--classes", names)
        self.assertEqual(file.attrs["classes"].tolist(), ["cat", "dog", "owl", "fox"])
        self.assertIn("have no sample in train: fox", self.stderr)
        path = self.npz("b.npz", x=x, y=np.array(["owl", "cat", "owl", "dog"]))
        file = self.succeed("images", "--train", f"{path}:x,y")
        self.assertEqual(file.attrs["classes"].tolist(), ["cat", "dog", "owl"])
        self.assertEqual(file["train/labels"][:].tolist(), [2, 0, 2, 1])

    def test_several_classes_a_sample(self):
        x = pixels(4, 3, 4, 4)
        flags = np.array([[1, 0, 0], [0, 0, 0], [1, 0, 1], [1, 1, 1]], np.uint8)
        wrong = flags.copy()
        wrong[2, 1] = 2
        path = self.npz(
            x=x, flags=flags, truth=flags.astype(bool), wide=flags.astype(np.int64), wrong=wrong,
            real=flags.astype("f4"), two=flags[:, :2], one_hot=np.eye(4, dtype=np.uint8),
            whole=np.arange(4), words=np.array([["a", "b"]] * 4),
        )  # fmt: skip
        images = ["images", "--train"]
        for spec in (["flags"], ["truth"], ["wide", "--task", "multi-label"],
                     ["real", "--task", "multi-label"]):  # fmt: skip
            file = self.succeed(*images, f"{path}:x,{spec[0]}", *spec[1:])
            self.assertEqual(file["train/labels"].dtype, np.dtype("u1"))
            self.assertEqual(file["train/labels"][:].tolist(), flags.tolist())
            self.assertEqual(file.attrs["task"], "multi-label")
            self.assertEqual(file.attrs["classes"].tolist(), ["0", "1", "2"])
            self.assertIn("train: 1 of 4 samples have none of the classes", self.stderr)
            file.close()
        names = self.write("classes.txt", "red\nround\nsoft\n")
        file = self.succeed(*images, f"{path}:x,flags", "--classes", names)
        self.assertEqual(file.attrs["classes"].tolist(), ["red", "round", "soft"])
        file.close()
        self.succeed(*images, f"{path}:x,one_hot").close()
        self.assertIn(".argmax(1)", self.stderr)
        self.fail_with(":wrong[2,1]: 2 is neither 0 nor 1", *images, f"{path}:x,wrong")
        self.fail_with("--classes: 3 names for the 2 columns", *images, f"{path}:x,two",
                       "--classes", names)  # fmt: skip
        self.fail_with("labels differ in columns", *images, f"{path}:x,two", "--test",
                       f"{path}:x,flags")  # fmt: skip
        self.fail_with("labels differ in kind of task", *images, f"{path}:x,flags", "--test",
                       f"{path}:x,whole")  # fmt: skip
        self.fail_with("multi-label wants a column of 0 and 1 a class", *images,
                       f"{path}:x,whole", "--task", "multi-label")  # fmt: skip
        self.fail_with("wants one class each", *images, f"{path}:x,flags", "--task",
                       "classification")  # fmt: skip

    def test_values(self):
        x = pixels(3, 3, 4, 4)
        y = np.array([0.5, -1.25, 3e38])
        bad = np.array([[0.5, 1], [2, np.nan], [1, 1]])
        path = self.npz(
            x=x, y=y, column=y[:, None].astype("f4"), whole=np.array([3, 1, 2], np.uint8),
            several=np.stack([y, y / 2], 1), bad=bad, huge=y * 10, floats=np.array([1.0, 0, 1]),
            words=np.array(["a", "b", "c"]),
        )  # fmt: skip
        images = ["images", "--train"]
        for name in ("y", "column"):
            file = self.succeed(*images, f"{path}:x,{name}")
            self.assertEqual(file["train/labels"].dtype, np.dtype("<f4"))
            np.testing.assert_array_equal(file["train/labels"], y.astype(np.float32))
            self.assertEqual(file.attrs["task"], "regression")
            self.assertEqual(file.attrs["targets"].tolist(), [name])
            self.assertNotIn("classes", file.attrs)
            file.close()
        file = self.succeed(*images, f"{path}:x,several", "--target-names", "age,weight")
        np.testing.assert_array_equal(file["train/labels"], np.stack([y, y / 2], 1).astype("f4"))
        self.assertEqual(file.attrs["targets"].tolist(), ["age", "weight"])
        file.close()
        file = self.succeed(*images, f"{path}:x,whole", "--task", "regression")
        self.assertEqual(file["train/labels"][:].tolist(), [3.0, 1.0, 2.0])
        file.close()
        self.succeed(*images, f"{path}:x,floats").close()
        self.assertIn("all are whole numbers, taken as values", self.stderr)
        self.fail_with(":bad[1,1]: nan is no finite float32", *images, f"{path}:x,bad")
        self.fail_with(":huge[2]: 3e+39 is no finite float32", *images, f"{path}:x,huge")
        self.fail_with("--target-names: 1 names for the 2 columns", *images, f"{path}:x,several",
                       "--target-names", "age")  # fmt: skip
        self.fail_with("a regression wants numbers", *images, f"{path}:x,words", "--task",
                       "regression")  # fmt: skip
        self.fail_with("classes are integers or names", *images, f"{path}:x,y", "--task",
                       "classification")  # fmt: skip

    def test_units_of_mean_and_std(self):
        bytes_as_floats = pixels(4, 3, 4, 4).astype("f4")
        path = self.npz(x=bytes_as_floats, small=bytes_as_floats / 255, y=np.arange(4))
        units = ["--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2"]
        self.succeed("images", "--train", f"{path}:x,y", *units).close()
        self.assertIn("far from --mean and --std: are they in other units?", self.stderr)
        self.succeed("images", "--train", f"{path}:small,y", *units).close()
        self.assertEqual(self.stderr, "")

    def test_paths_with_commas(self):
        x, y = pixels(6, 5, 4), np.arange(6, dtype=np.uint8) % 3
        os.mkdir(self.path("a,b"))
        images, labels = self.idx("a,b/x,1", x), self.idx("a,b/y,1", y)
        file = self.succeed("images", "--train", f"{images},{labels}")
        np.testing.assert_array_equal(file["train/labels"], y)
        file.close()
        path = self.npz("c,d.npz", x=x, y=y)
        self.succeed("images", "--train", f"{path}:x,y").close()

    def test_channels_last_is_told(self):
        path = self.npz(x=pixels(4, 5, 6, 3), y=np.arange(4), c=pixels(4, 3, 5, 6))
        self.succeed("images", "--train", f"{path}:x,y").close()
        self.assertIn("shape [4, 5, 6, 3] is taken as N,H,W,C", self.stderr)
        for options in (["x,y", "--layout", "NHWC"], ["c,y"]):
            self.succeed("images", "--train", f"{path}:{options[0]}", *options[1:]).close()
            self.assertEqual(self.stderr, "")

    def test_idx(self):
        x, y = pixels(6, 5, 4), np.arange(6, dtype=np.uint8) % 3
        plain = [self.idx("images", x), self.idx("labels", y)]
        packed = []
        for path in plain:
            with open(path, "rb") as stream:
                packed.append(
                    self.write(f"{os.path.basename(path)}.gz", gzip.compress(stream.read()))
                )
        for pair in (plain, packed):
            file = self.succeed("images", "--train", ",".join(pair))
            np.testing.assert_array_equal(file["train/inputs"], x[:, None])
            np.testing.assert_array_equal(file["train/labels"], y)
            file.close()
        wide = self.idx("wide", y.astype(">i4"), 0x0C)
        file = self.succeed("images", "--train", f"{plain[0]},{wide}")
        np.testing.assert_array_equal(file["train/labels"], y)

    def test_mistakes_in_idx(self):
        x, y = pixels(6, 5, 4), np.zeros(6, np.uint8)
        labels = self.idx("labels", y)
        cut, long = self.idx("cut", x, cut=3), self.idx("long", x, cut=-1)
        self.fail_with("ends 3 bytes before", "images", "--train", f"{cut},{labels}")
        self.fail_with("longer than its header", "images", "--train", f"{long},{labels}")
        text = self.write("text", "hello")
        self.fail_with("is no IDX file", "images", "--train", f"{text},{labels}")
        pointer = self.write("pointer", b"version https://git-lfs.github.com/spec/v1\n")
        self.fail_with("is no IDX file (it is a pointer of Git LFS", "images", "--train",
                       f"{pointer},{labels}")
        images, few = self.idx("images", x), self.idx("few", y[:5])
        self.fail_with("images has 6 images, ", "images", "--train", f"{images},{few}")

    def test_mistakes_in_npz(self):
        x, y = pixels(6, 3, 4, 4), np.arange(6) % 2
        bad = x.astype(np.int32)
        bad[5, 2, 3, 1] = 300
        infinite = x.astype(np.float64)
        infinite[4, 0, 0, 0] = np.inf
        flat = x.reshape(6, -1)
        path = self.npz(
            x=x, y=y, bad=bad, infinite=infinite, flat=flat, five=y[:5], negative=y - 1,
            pairs=np.stack([y, y], 1), both=pixels(6, 3, 4, 3), many=pixels(6, 9, 4, 5),
            objects=np.array([None] * 6), none=x[:0], empty=y[:0], complex=x.astype(complex),
        )  # fmt: skip
        cases = [
            ("", "name the arrays of images and of labels"),
            (":z,y", 'has no array "z"; it has: x, y, bad'),
            (":x,labels", 'has no array "labels"'),
            (":x", "name the arrays"),
            (":x,five", ":x has 6 images, "),
            (":bad,y", ":bad[5,2,3,1]: 300 is not within 0 to 255"),
            (":infinite,y", ":infinite[4,0,0,0]: inf is no finite float32"),
            (":flat,y", "has shape [6, 48]; images are [N,H,W]"),
            (":both,y", "cannot tell channels in shape [6, 3, 4, 3]; give --layout"),
            (":many,y", "give --layout"),
            (":x,negative", ":negative[0]: label -1 is no index of a class: they count from 0"),
            (":x,pairs", "has shape [6, 2]; labels are one number"),
            (":objects,y", "holds Python objects"),
            (":complex,y", "has type complex128; numbers are needed"),
            (":none,empty", "holds no images"),
        ]
        for spec, message in cases:
            with self.subTest(spec):
                self.fail_with(message, "images", "--train", path + spec)
        arrays = importlib.import_module("preparation.images.raw_arrays")
        with mock.patch.object(arrays, "SLAB_BYTES", 2 * bad[0].nbytes):
            self.fail_with(":bad[5,2,3,1]: 300", "images", "--train", f"{path}:bad,y")
        broken = self.write("broken.npz", "PK\3\4 no")
        self.fail_with("is no npz file", "images", "--train", f"{broken}:x,y")
        with open(path, "rb") as stream:
            content = bytearray(stream.read())
        content[200:210] = b"0123456789"
        damaged = self.write("damaged.npz", bytes(content))
        self.fail_with("damaged npz file", "images", "--train", f"{damaged}:x,y")
        self.fail_with("does not exist, and is none of", "images", "--train", "nothing")
        self.fail_with("--size is for folders", "images", "--train", f"{path}:x,y", "--size", 4)

    def test_splits_that_differ(self):
        y = np.arange(4) % 2
        path = self.npz(
            a=pixels(4, 3, 4, 4), small=pixels(4, 3, 2, 4), grey=pixels(4, 4, 4), y=y, more=y + 1,
            real=pixels(4, 3, 4, 4).astype("f4"), names=np.array(["0", "1", "0", "1"]),
        )  # fmt: skip
        train = ["images", "--train", f"{path}:a,y", "--test"]
        self.fail_with("has 3x4x4 (channels, height, width)", *train, f"{path}:small,y")
        self.fail_with("--rgb makes three channels of one", *train, f"{path}:grey,y")
        self.fail_with("has type uint8", *train, f"{path}:real,y")
        self.fail_with("labels differ in kind", *train, f"{path}:a,names")
        self.fail_with(':more[1]: class "2" (2 samples) in test', *train, f"{path}:a,more")
        self.assertEqual(self.succeed(*train, f"{path}:grey,y", "--rgb")["test/inputs"].shape[1], 3)

    def test_mean_and_std(self):
        path = self.npz(x=pixels(4, 3, 4, 4), y=np.arange(4))
        images = ["images", "--train", f"{path}:x,y"]
        self.fail_with("belong together", *images, "--mean", "0,0,0")
        self.fail_with("1 values for images of 3 channels", *images, "--mean", "0.5", "--std", "1")
        self.fail_with("divide yours by 255", *images, "--mean", "123,116,103", "--std", "58,57,57")
        self.fail_with("must be above 0", *images, "--mean", "0,0,0", "--std", "1,0,1")
        self.fail_with("not finite", *images, "--mean", "nan,0,0", "--std", "1,1,1")
        self.fail_with("invalid numbers value", *images, "--mean", "a,b,c", "--std", "1,1,1")

    @unittest.skipUnless(os.path.exists(f"{DATA}/cifar10-test.npz"), "no THAW_TEST_DATA")
    def test_cifar10(self):
        path = f"{DATA}/cifar10-test.npz"
        file = self.succeed("images", "--test", f"{path}:x,y")
        with np.load(path) as arrays:
            np.testing.assert_array_equal(file["test/inputs"], arrays["x"])
            np.testing.assert_array_equal(file["test/labels"], arrays["y"])

    @unittest.skipUnless(os.path.isdir(FASHION), "dataset-fashion-mnist is not installed")
    def test_fashion_mnist(self):
        pair = f"{FASHION}/t10k-images-idx3-ubyte.gz,{FASHION}/t10k-labels-idx1-ubyte.gz"
        file = self.succeed("images", "--test", pair)
        self.assertEqual(file["test/inputs"].shape, (10000, 1, 28, 28))
        self.assertEqual(np.bincount(file["test/labels"]).tolist(), [1000] * 10)


if __name__ == "__main__":
    main()
