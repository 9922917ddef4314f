"""Which file may include which, as pure functions over the project's texts.

The thaw_library lines of core/, dist/ and launch/CMakeLists.txt are the layout: a folder may
include itself and what stands in its DEPENDS, directly or through others. Each library stands below
those that it depends on, so includes go only downwards: launch -> dist -> core, and inside core as
its CMakeLists.txt lists it.
"""

import re

LIBRARY = re.compile(r"^\s*thaw_library\((\w+)\s+FOLDER\s+(\S+)([^)]*)\)", re.MULTILINE)


def layout(texts: dict) -> dict:
    """Folder -> set of the folders that it may include, itself among them.

    `texts`: "core", "dist", "launch", in this order -> text of its CMakeLists.txt.
    """
    folders, allowed = {}, {}
    for part, text in texts.items():
        for name, folder, rest in LIBRARY.findall(text):
            folder = part if folder == "." else f"{part}/{folder}"
            depends = re.findall(r"\bthaw_\w+", rest.partition("DEPENDS")[2])
            used = {folder}
            for library in depends:
                if library in folders:
                    used |= allowed[folders[library]]
                elif library not in OUTSIDE:
                    raise ValueError(f"{name} depends on {library}, which stands not below it")
            folders[name], allowed[folder] = folder, used
    return allowed


# Targets that bring other people's libraries.
OUTSIDE = {"thaw_torch", "thaw_hdf5", "thaw_toml", "thaw_xxhash", "thaw_nccl", "thaw_torch_cuda"}

# Libraries that a part must not know (its headers and sources).
FORBIDDEN = {
    "core": re.compile(r"(mpi|nccl)\.h"),
    "core/base": re.compile(r"(ATen|torch|c10)/"),
    "core/config": re.compile(r"(ATen|torch|c10)/"),
    "core/schedule": re.compile(r"(ATen|torch|c10)/"),
}
TOO_DEAR = "torch/torch.h"  # 11 to 17 s of compile time a file

# Of the project's own, what a program that includes <thaw/thaw.h> reads besides include/thaw itself.
PUBLIC_HEADERS = 41

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def includes(text: str):
    """(line number, "<" or '"', what is included) of each include directive."""
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match[1], match[2]


def folder_of(path: str) -> str:
    """The library's folder; rooms inside one belong to it."""
    parts = path.split("/")
    return "launch" if parts[0] == "launch" else "/".join(parts[:2])


def first_include_problem(path: str, text: str, files: dict):
    """A source's own header comes first: so the header is shown to compile alone."""
    stem, _, suffix = path.rpartition(".")
    header = stem + ".h"
    if suffix not in ("cpp", "cu") or header not in files:
        return
    first = next(includes(text), None)
    if first is None or first[2] != header:
        line = first[0] if first else 1
        yield f'{path}:{line}: the first include must be "{header}"'


def problems_of_file(path: str, text: str, files: dict, allowed: set):
    folder = folder_of(path)
    yield from first_include_problem(path, text, files)
    if path.endswith(".h") and "#pragma once" not in text:
        yield f"{path}:1: no #pragma once"
    for line, kind, target in includes(text):
        where = f"{path}:{line}"
        if target == TOO_DEAR:
            yield f"{where}: {TOO_DEAR} takes 11 to 17 s to compile; include what is used"
        for part, pattern in FORBIDDEN.items():
            if (folder == part or folder.startswith(part + "/")) and pattern.match(target):
                yield f"{where}: {part} must not know <{target}>"
        if kind == '"':
            if target not in files:
                yield f'{where}: "{target}" is no file of the project, named from its root'
            elif folder_of(target) not in allowed:
                yield f"{where}: {folder} must not include {target}: includes go only downwards"


def cycle_problems(files: dict):
    """Depth-first search over the files' includes."""
    state = {}

    def visit(path: str, trail: list):
        state[path] = "open"
        for line, kind, target in includes(files[path]):
            if kind != '"' or target not in files:
                continue
            if state.get(target) == "open":
                start = trail.index(target)
                cycle = " -> ".join(trail[start:] + [target])
                yield f"{path}:{line}: includes form a cycle: {cycle}"
            elif target not in state:
                yield from visit(target, trail + [target])
        state[path] = "done"

    for path in files:
        if path not in state:
            yield from visit(path, [path])


def reached(files: dict) -> set:
    """The headers that those of include/thaw include, directly or through others."""
    found = set()

    def visit(path: str):
        for _, kind, target in includes(files[path]):
            target = f"include/{target}" if target.startswith("thaw/") else target
            if kind == '"' and target in files and target not in found:
                found.add(target)
                visit(target)

    for path in files:
        if path.startswith("include/thaw/"):
            visit(path)
    return {path for path in found if not path.startswith("include/")}


def problems_of_public_headers(files: dict) -> list:
    public = sorted(reached(files))
    if len(public) <= PUBLIC_HEADERS:
        return []
    return [
        f"include/thaw reaches {len(public)} headers, at most {PUBLIC_HEADERS}: let a public header "
        f"name types before it includes what defines them\n  " + "\n  ".join(public)
    ]


def problems(files: dict, allowed: dict) -> list:
    """What is wrong in `files`, path -> text, each as file:line: what."""
    found = []
    for path, text in files.items():
        folder = folder_of(path)
        if folder in allowed:
            found += problems_of_file(path, text, files, allowed[folder])
        else:
            found.append(f"{path}:1: no thaw_library has the folder {folder}")
    return found + list(cycle_problems(files))
