"""Who knows a family of models by name, as pure functions over the project's texts.

A family is a line of core/config/model_families.inc and the folder of core/models in which
`ModelFamily ROOM_family()` is defined. Its name as a string, and its room's headers, belong there
alone: whatever else asks for either decides for the family what the family should say itself.
"""

import ast
import re

LIST = "core/config/model_families.inc"
LINE = re.compile(r'^THAW_MODEL_FAMILY\((\w+), "([^"]+)"', re.MULTILINE)
DEFINED = re.compile(r"^ModelFamily (\w+)_family\(\) \{", re.MULTILINE)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)
# A comment, a raw string, a string, a character (not the ' of 1'000).
LEXEMES = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<mark>[^(\s]*)\((?P<raw>.*?)\)(?P=mark)"|"(?P<text>(?:\\.|[^"\\\n])*)"'
    r"|(?<![\w'])'(?:\\.|[^'\\\n])+'",
    re.DOTALL,
)


def rooms(files: dict) -> dict:
    """Family's name -> its folder, "" where nothing defines it."""
    defined = {name: path.rpartition("/")[0]
               for path, text in files.items() if path.startswith("core/models/")
               for name in DEFINED.findall(text)}
    return {name: defined.get(room, "") for room, name in LINE.findall(files[LIST])}


def cpp_strings(text: str):
    """(line, what it says) of each string that is no include."""
    for match in LEXEMES.finditer(INCLUDE.sub("", text)):
        if match["raw"] is not None or match["text"] is not None:
            yield text.count("\n", 0, match.start()) + 1, match["raw"] or match["text"] or ""


def python_strings(text: str):
    """(line, what it says) of each string but those that stand alone as documentation."""
    tree = ast.parse(text)
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.lineno, node.value


def problems(files: dict) -> list:
    """What breaks the rule in path -> text, each naming where."""
    found = []
    homes = rooms(files)
    for name, home in homes.items():
        if not home:
            found.append(f'{LIST}: "{name}" has no room in core/models')
    for path, text in files.items():
        # Starters are configurations, as those in configs are.
        if path == LIST or path.startswith("launch/starter/"):
            continue
        strings = cpp_strings if not path.endswith(".py") else python_strings
        for line, string in strings(text):
            for name, home in homes.items():
                if path.startswith(home + "/") and home:
                    continue
                if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", string):
                    found.append(f'{path}:{line}: names the family "{name}"; ask the family '
                                 "(core/models/family.h) or its line (core/config/model_families.h)")
        for target in INCLUDE.findall(text):
            for home in set(homes.values()) - {""}:
                if target.startswith(home + "/") and not path.startswith(home + "/"):
                    found.append(f"{path}: includes {target}, which only {home} knows")
    return found
