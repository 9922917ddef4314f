"""prepare.py images: folders of image files."""

import json
import os
import struct
import unittest
import zlib

from prepare_fixture import PIL, PrepareTest, main, np, pixels


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def png(width: int, height: int, data: bytes, behind: bytes = b"") -> bytes:
    """A PNG in RGB that claims to be of this size; `behind`: chunks after the pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", data) + behind + chunk(b"IEND", b"")


def tiff(bits: int, channels: int, order: str = "<", deflated: bool = False, planes: int = 1) -> bytes:
    """A TIFF of 4x3 pixels, its channels beside each other or in `planes` of their own."""
    planes = channels if planes > 1 else 1
    value = np.arange(12 * channels).astype(f"{order}u{bits // 8}").tobytes()
    size = len(value) // planes
    strips = [value[start:start + size] for start in range(0, len(value), size)]
    strips = [zlib.compress(strip) for strip in strips] if deflated else strips
    content, entries, behind = b"", [], 8
    starts = []
    for strip in strips:
        starts.append(behind)
        content += strip
        behind += len(strip)
    wide = {258: [bits] * channels, 273: starts, 279: [len(strip) for strip in strips]}
    usual = {256: [4], 257: [3], 259: [8 if deflated else 1], 262: [2 if channels > 2 else 1],
             277: [channels], 278: [3], 284: [1 + (planes > 1)]}  # fmt: skip
    if channels == 4:
        usual[338] = [2]  # the last one is alpha
    for tag, values in sorted((wide | usual).items()):
        kind, form = (4, "I") if tag in (273, 279) else (3, "H")
        packed = struct.pack(f"{order}{len(values)}{form}", *values)
        if len(packed) > 4:
            content += packed
            packed, behind = struct.pack(order + "I", behind), behind + len(packed)
        entries.append(struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0"))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", behind)
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)
    return head + content + directory


@unittest.skipUnless(PIL, "no Pillow")
class FolderTest(PrepareTest):
    def image(self, name: str, values, **options) -> str:
        from PIL import Image

        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Image.fromarray(values).save(path, **options)
        self.inputs.add(name.split("/")[0])
        return path

    def test_classes_are_folders(self):
        x = pixels(4, 5, 4, 3)
        for name, values in zip(("10/a.png", "9/z.bmp", "9/deep/b.png", "9/c.PPM"), x):
            self.image(f"train/{name}", values)
        self.write("train/9/notes.txt", "no image")
        self.write("train/9/.hidden.png", "no image")
        file = self.succeed("images", "--train", self.path("train"))
        self.assertEqual(file.attrs["classes"].tolist(), ["9", "10"])
        self.assertEqual(file["train/labels"][:].tolist(), [1, 0, 0, 0])
        np.testing.assert_array_equal(file["train/inputs"], x[[0, 3, 2, 1]].transpose(0, 3, 1, 2))
        self.assertIn("1 files are no images", self.stderr)
        source = json.loads(file.attrs["sources"])[0]
        self.assertEqual((source["file"], source["images"]), ("train", 4))
        before = source["sha256"]
        file.close()
        self.image("train/9/c.PPM", x[0])
        file = self.succeed("images", "--train", self.path("train"))
        self.assertNotEqual(json.loads(file.attrs["sources"])[0]["sha256"], before)

    def test_grey(self):
        x = pixels(2, 5, 4)
        for number, values in enumerate(x):
            self.image(f"train/a/{number}.png", values)
        file = self.succeed("images", "--train", self.path("train"))
        np.testing.assert_array_equal(file["train/inputs"], x[:, None])
        file.close()
        expected = np.repeat(x[:, None], 3, axis=1)
        self.image("train/a/00.png", pixels(1, 5, 4, 3)[0])  # one in colour: all are RGB
        file = self.succeed("images", "--train", self.path("train"))
        np.testing.assert_array_equal(file["train/inputs"][[0, 2]], expected)

    def test_sizes(self):
        self.image("train/a/0.png", pixels(1, 20, 30, 3)[0])
        self.image("train/a/1.png", pixels(1, 40, 17, 3)[0])
        self.fail_with("give --size N", "images", "--train", self.path("train"))
        file = self.succeed("images", "--train", self.path("train"), "--size", 10)
        self.assertEqual(file["train/inputs"].shape, (2, 3, 10, 10))
        flat = np.zeros((8, 24, 3), np.uint8)
        flat[:, 8:16] = 200  # the centre of a wide image is what remains
        self.image("flat/a/0.png", flat)
        file = self.succeed("images", "--train", self.path("flat"), "--size", 8)
        self.assertEqual(set(file["train/inputs"][:].flat), {200})

    def test_orientation_marks(self):
        from PIL import Image

        values = np.zeros((8, 16), np.uint8)
        values[:, 8:] = 255
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees clockwise
        self.image("train/a/0.jpg", values, exif=exif, quality=95)
        file = self.succeed("images", "--train", self.path("train"))
        self.assertEqual(file["train/inputs"].shape, (1, 1, 16, 8))
        self.assertLess(file["train/inputs"][0, 0, :7].max(), 30)
        self.assertGreater(file["train/inputs"][0, 0, 9:].min(), 225)

    def test_mistakes(self):
        self.image("train/a/0.png", pixels(1, 9, 9, 3)[0])
        with open(self.path("train/a/0.png"), "rb") as stream:
            content = stream.read()
        cut = self.write("cut/a/0.png", content[:-60])
        self.fail_with(f"{cut}: cannot be decoded", "images", "--train", self.path("cut"))
        text = self.write("text/a/0.png", "hello")
        self.fail_with(f"{text}: is no image", "images", "--train", self.path("text"))
        self.image("deep/a/0.png", pixels(1, 9, 9)[0].astype(np.uint16))
        self.fail_with("8 bits a channel are needed", "images", "--train", self.path("deep"))
        self.write("bare/a/readme", "hello")
        self.fail_with("holds no images", "images", "--train", self.path("bare"))
        self.fail_with("has no folders", "images", "--train", self.path("bare/a"))
        self.image("test/b/0.png", pixels(1, 9, 9, 3)[0])
        self.fail_with(
            'test/b/0.png: class "b" (1 sample) in test but not in train',
            "images", "--train", self.path("train"), "--test", self.path("test"),
        )  # fmt: skip

    def test_every_orientation_in_every_format(self):
        """Values that say where they are: the top of the upright image is 0, the bottom 200."""
        from PIL import Image

        upright = np.zeros((12, 8), np.uint8)
        upright[6:] = 200
        upright[:, 4:] += 40
        back = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
                6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}  # fmt: skip
        for suffix in ("tif", "png", "jpg", "webp"):
            for mark in range(1, 9):
                image = Image.fromarray(upright).convert("RGB")
                if mark > 1:
                    image = image.transpose(getattr(Image.Transpose, back[mark]))
                exif = Image.Exif()
                exif[0x0112] = mark
                options = {"jpg": {"quality": 100}, "webp": {"lossless": True}}.get(suffix, {})
                path = self.path(f"turn/a/{mark}.{suffix}")
                os.makedirs(os.path.dirname(path), exist_ok=True)
                image.save(path, exif=exif, **options)
            self.inputs.add("turn")
        file = self.succeed("images", "--train", self.path("turn"))
        self.assertEqual(file["train/inputs"].shape, (32, 3, 12, 8))
        difference = abs(file["train/inputs"][:].astype(int) - upright)
        self.assertLess(difference.max(), 12)

    def test_orientation_behind_the_pixels(self):
        from PIL import Image

        exif = Image.Exif()
        exif[0x0112] = 6
        rows = b"".join(b"\0" + bytes([row] * 6) for row in range(3))  # 2 wide, 3 high
        self.write("late/a/0.png",
                   png(2, 3, zlib.compress(rows), chunk(b"eXIf", exif.tobytes()[6:])))  # fmt: skip
        file = self.succeed("images", "--train", self.path("late"))
        self.assertEqual(file["train/inputs"][0, 0].tolist(), [[2, 1, 0], [2, 1, 0]])

    def test_other_suffixes(self):
        self.image("s/a/0.jpg", pixels(1, 8, 8)[0])
        with open(self.path("s/a/0.jpg"), "rb") as stream:
            content = stream.read()
        for name in ("s/a/1.jfif", "s/a/2.JPE", "s/a/3.jpeg"):
            self.write(name, content)
        file = self.succeed("images", "--train", self.path("s"))
        self.assertEqual(len(file["train/labels"]), 4)
        for image in file["train/inputs"][1:]:
            np.testing.assert_array_equal(image, file["train/inputs"][0])

    def test_linked_folders(self):
        x = pixels(3, 4, 4)
        self.image("store/cats/0.png", x[0])
        self.image("store/more/0.png", x[1])
        self.image("train/dog/0.png", x[2])
        os.symlink(self.path("store/cats"), self.path("train/cat"))
        os.symlink(self.path("store/more"), self.path("train/dog/more"))
        os.symlink("..", self.path("train/dog/up"))
        file = self.succeed("images", "--train", self.path("train"))
        self.assertEqual(file.attrs["classes"].tolist(), ["cat", "dog"])
        np.testing.assert_array_equal(file["train/inputs"][:, 0], x[[0, 2, 1]])
        self.assertIn("2 folders are links, which were followed", self.stderr)
        self.assertIn("train/dog/up", self.stderr)
        file.close()
        os.symlink(self.path("store/cats"), self.path("train/dog/cats"))
        self.fail_with('is a folder of class "cat" too', "images", "--train", self.path("train"))

    def test_folders_that_are_splits(self):
        for split in ("train", "val", "Test"):
            for name in ("a", "b"):
                self.image(f"all/{split}/{name}/0.png", pixels(1, 4, 4)[0])
        self.fail_with("its folders are splits, not classes: Test, train, val; give --splits",
                       "images", "--train", self.path("all"))  # fmt: skip
        file = self.succeed("images", "--splits", self.path("all"))
        self.assertEqual(set(file), {"train", "validation", "test"})
        file.close()
        for name in ("--val", "--valid", "--dev"):
            file = self.succeed(
                "images", "--train", self.path("all/train"), name, self.path("all/val")
            )
            self.assertEqual(set(file), {"train", "validation"})
            file.close()
        self.image("all/dev/a/0.png", pixels(1, 4, 4)[0])
        self.fail_with("are validation", "images", "--splits", self.path("all"))
        self.fail_with("holds no folders named train", "images", "--splits", self.path("all/val"))

    def test_names_that_are_no_text(self):
        names = [b"caf\xe9".decode("utf-8", "surrogateescape"), "a\x1b[31m", "line\nend"]
        for name in names:
            self.image(f"n/{name}/0.png", pixels(1, 4, 4)[0])
        file = self.succeed("images", "--train", self.path("n"))
        self.assertEqual(file.attrs["classes"].tolist(), sorted(names))
        self.assertIn("caf\\xe9", self.stderr)
        self.assertIn("a\\x1b[31m", self.stderr)
        self.assertNotIn("\x1b", self.stderr)
        file.close()
        os.makedirs(self.path("n/empty\x07"))
        self.fail_with("empty\\x07: holds no images", "images", "--train", self.path("n"))

    def test_two_classes_of_one_name(self):
        for name in ("caf\u00e9", "cafe\u0301"):
            self.image(f"two/{name}/0.png", pixels(1, 4, 4)[0])
        self.fail_with("two classes of one name", "images", "--train", self.path("two"))

    def test_what_is_no_file(self):
        self.image("f/a/0.png", pixels(1, 4, 4)[0])
        os.mkfifo(self.path("f/a/1.png"))
        self.fail_with("1.png: is no regular file", "images", "--train", self.path("f"))
        os.unlink(self.path("f/a/1.png"))
        os.symlink("/dev/zero", self.path("f/a/1.png"))
        self.fail_with("1.png: is no regular file", "images", "--train", self.path("f"))
        os.unlink(self.path("f/a/1.png"))
        os.symlink("nowhere", self.path("f/a/1.png"))
        self.fail_with("1.png: cannot be read", "images", "--train", self.path("f"))

    def test_claims(self):
        """What an image's header claims is refused before anything is reserved for it."""
        self.write("claim/a/0.png", png(60_000, 60_000, zlib.compress(bytes(1000))))
        self.fail_with("claims 60,000x60,000 pixels", "images", "--train", self.path("claim"))
        self.image("street/a/0.png", np.zeros((65_000, 1), np.uint8))
        street = ["images", "--train", self.path("street")]
        self.fail_with("1x65000 is too narrow to be scaled", *street, "--size", 224)
        file = self.succeed(*street, "--size", 4)
        self.assertEqual(file["train/inputs"].shape, (1, 1, 4, 4))
        file.close()
        file = self.succeed(*street)
        self.assertEqual(file["train/inputs"].shape, (1, 1, 65_000, 1))
        text = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(100 << 20)))
        self.write("text/a/0.png", png(1, 1, zlib.compress(bytes(4)), text))
        self.fail_with("text/a/0.png: ", "images", "--train", self.path("text"))
        with open(self.write("sparse/a/0.tif", b""), "wb") as stream:
            stream.truncate(1 << 40)
        self.fail_with("is larger than", "images", "--train", self.path("sparse"))

    def test_images_that_are_not_read_are_told(self):
        self.image("k/a/0.png", pixels(1, 4, 4)[0])
        self.write("k/a/1.HEIC", "x")
        self.write("k/a/Thumbs.db", "x")
        self.succeed("images", "--train", self.path("k")).close()
        self.assertIn("1 images are of a kind that is not read", self.stderr)
        self.assertIn("1 files are no images", self.stderr)

    def test_16_bits_a_channel(self):
        for kind, channels in ((2, 3), (4, 2), (6, 4)):
            with self.subTest(kind):
                rows = b"".join(b"\0" + bytes([0, 9] * 4 * channels) for _ in range(3))
                head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 16, kind, 0, 0, 0))
                content = head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
                self.write("deep/a/0.png", b"\x89PNG\r\n\x1a\n" + content)
                self.fail_with("16 bits a channel", "images", "--train", self.path("deep"))

    def test_16_bits_a_channel_in_tiff(self):
        for channels in (1, 3, 4):
            for order in "<>":
                for deflated, planes in ((False, 1), (True, 1), (False, 2), (True, 2)):
                    form = (channels, order, deflated, planes)
                    with self.subTest(form):
                        self.write("deep/a/0.tif", tiff(16, *form))
                        self.fail_with("0.tif: has 16 bits a channel", "images", "--train",
                                       self.path("deep"))  # fmt: skip
        for channels, planes in ((1, 1), (3, 1), (3, 2)):  # those of 8 bits, made alike, are read
            for order in "<>":
                self.write("flat/a/0.tif", tiff(8, channels, order, planes=planes))
                file = self.succeed("images", "--train", self.path("flat"))
                shape = (channels, 3, 4) if planes > 1 else (3, 4, channels)
                expected = np.arange(12 * channels).reshape(shape)
                expected = expected if planes > 1 else expected.transpose(2, 0, 1)
                np.testing.assert_array_equal(file["train/inputs"][0], expected)
                file.close()

    def test_a_folder_around_the_classes(self):
        for place in ("a/0.png", "b/0.png"):
            self.image("around/set/" + place, pixels(1, 4, 4)[0])
        advice = f"(a, b): give in its place {self.path('around/set')}"
        self.fail_with(advice, "images", "--train", self.path("around"))
        self.succeed("images", "--train", self.path("around/set")).close()
        for place in ("train/a/0.png", "test/a/0.png"):
            self.image("both/set/" + place, pixels(1, 4, 4)[0])
        advice = f"(test, train): give --splits {self.path('both/set')}"
        self.fail_with(advice, "images", "--train", self.path("both"))
        self.succeed("images", "--splits", self.path("both/set")).close()
        # A class whose images lie in folders, where something says that it is one.
        for place in ("a/0.png", "b/0.png"):
            self.image("known/" + place, pixels(1, 4, 4)[0])
        for place in ("a/x/0.png", "a/y/0.png"):
            self.image("parts/" + place, pixels(1, 4, 4)[0])
        folders = ("--train", self.path("known"), "--test", self.path("parts"))
        self.succeed("images", *folders).close()
        listed = self.write("listed.txt", "a\nb\n")
        self.succeed("images", "--test", self.path("parts"), "--classes", listed).close()
        self.fail_with("if a is a class", "images", "--test", self.path("parts"))
        self.image("lone/a/x/0.png", pixels(1, 4, 4)[0])
        self.succeed("images", "--train", self.path("lone")).close()

    def test_files_that_are_something_else(self):
        for content, message in (
            (b"", "it is empty"),
            (b"<html>", "it is a web page"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image that Pillow knows"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        ):
            self.write("o/a/0.png", content)
            self.fail_with(message, "images", "--train", self.path("o"))


if __name__ == "__main__":
    main()
