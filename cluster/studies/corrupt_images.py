#!/usr/bin/env python3
"""Corrupts the images of an npz file by PyPI's imagecorruptions, the same way at each call.

    cluster/studies/corrupt_images.py IN.npz OUT.npz CORRUPTION SEVERITY

IN.npz: `x` uint8 N x 3 x 32 x 32 or larger, `y`. OUT.npz: the same, corrupted. Runs in the
environment of imagecorruptions.txt, which cluster/studies/run.sh surgical makes.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import zlib

import numpy
from imagecorruptions import corrupt, get_corruption_names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("images", metavar="IN.npz")
    parser.add_argument("output", metavar="OUT.npz")
    parser.add_argument("corruption", choices=get_corruption_names("all"))
    parser.add_argument("severity", type=int, choices=range(1, 6))
    given = parser.parse_args()
    arrays = numpy.load(given.images)
    images = arrays["x"].transpose(0, 2, 3, 1)
    # The package draws from numpy's global generator.
    numpy.random.seed(zlib.crc32(f"{given.corruption} {given.severity}".encode()))
    corrupted = numpy.empty_like(images)
    for i, image in enumerate(images):
        corrupted[i] = corrupt(numpy.ascontiguousarray(image), severity=given.severity,
                               corruption_name=given.corruption)  # fmt: skip
    output = pathlib.Path(given.output)
    part = output.with_name(f"{output.stem}.part.npz")
    numpy.savez(part, x=corrupted.transpose(0, 3, 1, 2), y=arrays["y"])
    os.replace(part, output)


if __name__ == "__main__":
    main()
