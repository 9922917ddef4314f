"""What an input may ask for: the bounds within which prepare.py works whatever a file claims.

With them a run stays within about 4 GiB of memory (more than 20 million samples: some 80 bytes
each), and its time grows with the bytes on disk. Beyond a bound, a file is refused with its name,
never cut.
"""

from __future__ import annotations

from preparation.errors import InputError

# One row of a table, and the characters of one text in it. What the tokenizer keeps of a text takes
# up to a thousand times as much, where --max-tokens cuts it to pieces of a token each.
ROW_BYTES = 8 << 20
TEXT = 3 << 20

# Samples of one split: labels and offsets are held in memory.
SAMPLES = 1 << 26

# Numbers of all samples of a split: values of a regression, or classes of samples with several.
VALUES = 1 << 28

# Names of classes, and characters of one: a label column that holds more holds something else.
CLASSES = 1 << 20
CLASS_NAME = 1024

# Pixels of one image, of one file's or an array's; cameras make some 100 million.
PIXELS = 1 << 27

# Bytes of one image in an array, and of an image's file: as many pixels with four bytes each.
IMAGE_BYTES = 4 * PIXELS

# Files that are read whole: a tokenizer, a list of classes.
WHOLE_FILE_BYTES = 256 << 20

# An array that cannot be read in pieces, since its first dimension is the innermost.
WHOLE_ARRAY_BYTES = 1 << 30

# A compressed file of more than _FREE bytes may not unpack to more than _RATIO times its size: text
# and pictures come to 3 to 50, a file made to fill memory and time to 1000 and more.
UNPACKED_RATIO = 250
UNPACKED_FREE = 256 << 20


def check_ratio(path: str, packed: int, unpacked: int) -> None:
    """Refuses what unpacks to a size that no real data has."""
    if unpacked > UNPACKED_FREE and unpacked > UNPACKED_RATIO * packed:
        raise InputError(
            f"{path}: {packed:,} bytes unpack to {unpacked:,} or more, as no real data does; if "
            "they are meant, give the file uncompressed"
        )


def check_samples(where: str, count: int) -> None:
    if count > SAMPLES:
        raise InputError(f"{where}: more than {SAMPLES:,} samples; prepare.py makes no such file")
