"""Tells which wheels the CUDA parts lack in the running Python's environment.

    cuda_wheels.py [--compiler] [--toolkit DIR] [--sizes]

Prints a requirement a line: what the installed torch's own metadata asks for of CUDA, cuDNN, NCCL and
the like, directly or through the package cuda-toolkit, less what is whole already and less the
libraries that DIR, a CUDA toolkit, has. As long as cuda-toolkit's metadata is missing it prints that
package alone: install it, then ask again. --compiler: nvcc's parts too. --sizes: one line for people
instead, how much that is.
"""

import argparse
import importlib.metadata
import pathlib
import re

from check_requirements import is_whole

COMPILER = ("nvcc", "crt", "nvvm", "cccl", "cudart")  # as cuda-toolkit's extras
# MB to download and MB installed, of the wheels for CUDA 13.0: to tell before, nothing depends on it.
SIZES = {
    "cublas": (423, 597), "cccl": (3, 15), "crt": (1, 1), "cupti": (11, 45), "nvcc": (37, 116),
    "nvrtc": (90, 228), "runtime": (2, 7), "cudnn": (366, 494), "cufft": (214, 288), "cufile": (1, 3),
    "curand": (60, 135), "cusolver": (201, 245), "cusparse": (146, 163), "cusparselt": (170, 234),
    "nccl": (196, 218), "nvjitlink": (41, 99), "nvshmem": (60, 81), "nvtx": (0, 1), "nvvm": (62, 140),
}
UNKNOWN = (100, 200)
REQUIREMENT = re.compile(r"([\w.-]+?)\s*(?:\[(.*?)\])?\s*\(?(==[\w.*]+)?\)?\s*(?:;(.*))?$")


def requirements(package: str, extras: tuple[str, ...] = ()) -> list[tuple[str, list[str], str]]:
    """(name, extras, ==version) of what a package asks for, also for these extras of its own."""
    found = []
    for line in importlib.metadata.requires(package) or []:
        parts = REQUIREMENT.match(line)
        if not parts:
            continue
        name, wanted, version, marker = parts.groups()
        extra = re.search(r"extra == ['\"](.+?)['\"]", marker or "")
        if extra is None or extra[1] in extras:
            found.append((name, [e.strip() for e in (wanted or "").split(",")], version or ""))
    return found


def wheels(compiler: bool) -> list[str]:
    """All that this torch and, if wanted, nvcc need of CUDA, in the versions that go with it."""
    found = []
    for name, extras, version in requirements("torch"):
        if name.startswith("nvidia-"):
            found.append(name + version)
        elif name == "cuda-toolkit":
            try:
                parts = requirements(name, tuple(extras) + (COMPILER if compiler else ()))
            except importlib.metadata.PackageNotFoundError:
                return [name + version]
            found += [part + of for part, _, of in parts if part.startswith("nvidia-")]
    return list(dict.fromkeys(found))


def stem(requirement: str) -> str:
    """What a wheel is of: cublas for nvidia-cublas==13.1.0.3.*, nccl for nvidia-nccl-cu13==2.28.9."""
    return re.sub(r"^nvidia-(cuda-)?|(-cu\d+)?(==.*)?$", "", requirement)


def is_in_toolkit(toolkit: pathlib.Path, requirement: str) -> bool:
    """Whether a toolkit has the library that a wheel would bring."""
    name = {"runtime": "cudart"}.get(stem(requirement), stem(requirement))
    library = re.compile(rf"lib{re.escape(name)}(_host)?\.so", re.IGNORECASE)
    folders = (toolkit / "lib64", toolkit / "lib", toolkit / "extras/CUPTI/lib64")
    return any(library.match(file.name) for folder in folders for file in folder.glob("lib*.so*"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--compiler", action="store_true")
    parser.add_argument("--toolkit", type=pathlib.Path)
    parser.add_argument("--sizes", action="store_true")
    arguments = parser.parse_args()
    missing = [wheel for wheel in wheels(arguments.compiler)
               if not is_whole(*wheel.partition("==")[::2])
               and not (arguments.toolkit and is_in_toolkit(arguments.toolkit, wheel))]
    if not arguments.sizes:
        print("".join(f"{wheel}\n" for wheel in missing), end="")
    elif missing:
        download, installed = map(sum, zip(*(SIZES.get(stem(w), UNKNOWN) for w in missing)))
        print(f"{len(missing)} wheels for CUDA: some {download / 1000:.1f} GB to download, "
              f"{installed / 1000:.1f} GB in .venv")


if __name__ == "__main__":
    main()
