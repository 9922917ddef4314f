"""Sizes of folders, files and functions and the share of comments, as pure functions over texts.

A room is what a folder holds under one name: a header and its sources, `_cuda` parts among them.
Functions of C++ are found by their braces, which clang-format keeps in order: one that opens in a
namespace or a class behind a list of parameters. Its length runs from its first line, return type
and parameters included, to its closing brace; lambdas inside belong to it. In Python it is what
`ast` says, without nested functions taken apart.
"""

import ast
import math
import re
import statistics

ROOMS_A_FOLDER = 16
LINES_A_FILE = 400
MEDIAN_FILE = 120
LINES_A_FUNCTION = 60
P90_FUNCTION = 30
COMMENT_SHARE = 0.145

CPP = (".h", ".cpp", ".cu", ".inc")


def room_of(path: str) -> tuple:
    """(folder, name) of the room that a file belongs to."""
    folder, _, name = path.rpartition("/")
    return folder, re.sub(r"_cuda$", "", name.partition(".")[0])


def rooms(paths) -> dict:
    """Folder -> how many rooms it has."""
    counts = {}
    for folder, _ in {room_of(path) for path in paths}:
        counts[folder] = counts.get(folder, 0) + 1
    return counts


# ------------------------------------------------------------------------------ C++

# A comment, a raw string, a string, a character (not the ' of 1'000), a preprocessor line.
LEXEMES = re.compile(
    r'(?P<comment>//[^\n]*|/\*.*?\*/)|R"(?P<mark>[^(\s]*)\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![\w'])'(?:\\.|[^'\\\n])+'|^[ \t]*#(?:\\\n|[^\n])*",
    re.DOTALL | re.MULTILINE,
)


def blanked(text: str) -> str:
    """C++ of the same lines without comments, preprocessor lines and the insides of strings."""

    def blank(match) -> str:
        ends = "\n" * match[0].count("\n")
        is_string = not match["comment"] and not match[0].lstrip().startswith("#")
        return ('""' if is_string else "") + ends

    return LEXEMES.sub(blank, text)


CONTAINER = re.compile(
    r"(?:template\s*<.*>\s*)?(?:inline\s+)?(?:namespace|class|struct|union|enum)\b", re.DOTALL
)
AFTER_PARAMETERS = re.compile(r"\)[\s\w&]*$")
# A member that is set with braces between the parameters and the body: `) : a_{1}, b_`.
INITIALIZED = re.compile(r"\)[\s\w]*:(?!:).*[\w>]\s*$", re.DOTALL)
ACCESS = re.compile(r"\s*(?:public|protected|private):")


def kind_of(head: str) -> str:
    """What a brace opens, from what stands between it and the end of what came before."""
    head = head.strip()
    if CONTAINER.match(head) and not (AFTER_PARAMETERS.search(head) and "alignas" not in head):
        return "container"
    if head == 'extern ""':
        return "container"
    if "(" not in head or head.endswith("=") or INITIALIZED.search(head):
        return "value"
    return "function"


def end_of_braces(text: str, start: int) -> int:
    """Behind the brace that closes the one at `start`."""
    depth = 0
    for match in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.end()
    return len(text)


def cpp_functions(text: str) -> list:
    """(line, number of lines, first line) of each function with a body."""
    text = blanked(text)
    found = []
    head, head_start, parentheses, at = "", 0, 0, 0
    while at < len(text):
        letter, following = text[at], at + 1
        if letter == "{":
            access = ACCESS.match(head)
            skipped = access.end() if access else 0
            kind = "value" if parentheses else kind_of(head[skipped:])
            if kind == "container":
                head = ""
            else:
                following = end_of_braces(text, at)
                head += "{}"
            if kind == "function":
                signature = head[skipped:]
                begin = head_start + skipped + len(signature) - len(signature.lstrip())
                line = text.count("\n", 0, begin) + 1
                lines = text.count("\n", begin, following) + 1
                found.append((line, lines, signature.strip().partition("\n")[0]))
                head = ""
        elif letter in ";}" and not parentheses:
            head = ""
        else:
            parentheses += (letter == "(") - (letter == ")")
            if not head:
                head_start = at
            head += letter
        if not head:
            parentheses = 0
        at = following
    return found


# ------------------------------------------------------------------------------ Python


def python_functions(text: str) -> list:
    """As cpp_functions; methods too, functions inside of functions not apart."""
    found = []

    def visit(node) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = child.end_lineno - child.lineno + 1
                found.append((child.lineno, lines, f"def {child.name}"))
            else:
                visit(child)

    visit(ast.parse(text))
    return found


def functions(path: str, text: str) -> list:
    return cpp_functions(text) if path.endswith(CPP) else python_functions(text)


# ------------------------------------------------------------------------------ comments


def comment_lines(text: str) -> int:
    """Lines of C++ that hold a comment or a part of one."""
    lines = set()
    for match in LEXEMES.finditer(text):
        if match["comment"]:
            first = text.count("\n", 0, match.start())
            lines.update(range(first, first + match[0].count("\n") + 1))
    return len(lines)


# ------------------------------------------------------------------------------ the rules


def line_count(text: str) -> int:
    return text.count("\n")


def written_lines(text: str) -> int:
    """Lines that are not blank."""
    return sum(not line.isspace() for line in text.splitlines(keepends=True))


def percentile(values: list, share: float):
    """The smallest value that at least `share` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def figures(files: dict) -> dict:
    """Of path -> text, C++ and Python."""
    lengths = [line_count(text) for text in files.values()]
    of_functions = [lines for path, text in files.items() for _, lines, _ in functions(path, text)]
    cpp = [text for path, text in files.items() if path.endswith(CPP)]
    return {
        "rooms of the fullest folder": max(rooms(files).values()),
        "lines a file, median": statistics.median(lengths),
        "lines a file, most": max(lengths),
        "lines a function, p90": percentile(of_functions, 0.9),
        "lines a function, most": max(of_functions),
        "share of written lines with a comment": sum(map(comment_lines, cpp)) / sum(map(written_lines, cpp)),
    }


def problems(files: dict) -> list:
    """What breaks a rule in path -> text, each naming where."""
    found = []
    for folder, count in sorted(rooms(files).items()):
        if count > ROOMS_A_FOLDER:
            found.append(f"{folder}: {count} rooms, at most {ROOMS_A_FOLDER}: "
                         "join what is one idea, or give a part a folder of its own")
    for path, text in files.items():
        if line_count(text) > LINES_A_FILE:
            found.append(f"{path}: {line_count(text)} lines, at most {LINES_A_FILE}")
        for line, lines, head in functions(path, text):
            if lines > LINES_A_FUNCTION:
                found.append(f"{path}:{line}: {lines} lines, at most {LINES_A_FUNCTION}: {head}")
    numbers = figures(files)
    for name, most in (("lines a file, median", MEDIAN_FILE),
                       ("lines a function, p90", P90_FUNCTION)):
        if numbers[name] > most:
            found.append(f"{name}: {numbers[name]:g}, at most {most}")
    share = numbers["share of written lines with a comment"]
    if share < COMMENT_SHARE:
        found.append(f"comments in {share:.1%} of the lines that are not blank, at least {COMMENT_SHARE:.0%}: "
                     "say what types are for, units, who calls from which thread and rank")
    return found
