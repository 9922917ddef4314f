"""Which tests assert nothing, as pure functions over texts.

A GoogleTest case or a Python test method asserts where its body holds an assertion, or names a
function that does: one of its own file, or of those that the file shares with others (test headers,
imported modules of the tests). Names are all that is looked at, so a test that names another thing
of the same name passes for asserting; none is accused wrongly.
"""

import ast
import re

import rooms

CPP_ASSERTION = re.compile(r"\b(?:(?:EXPECT|ASSERT)_\w+|G?TEST_FAIL|FAIL|ADD_FAILURE\w*)\s*\(")
PYTHON_ASSERTION = re.compile(r"assert[A-Z]\w*$|fail$")
CPP_TEST = re.compile(r"^(?:TYPED_)?TEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)")
CPP_NAME = re.compile(r"(\w+|operator\S+)\s*\(")
CPP_WORD = re.compile(r"\b[A-Za-z_]\w*")


class Function:
    """A function with a body: its name, whether it is a test, whether it asserts, what it names."""

    def __init__(self, name: str, line: int, is_test: bool, asserts: bool, mentions: set):
        self.name, self.line, self.is_test = name, line, is_test
        self.asserts, self.mentions = asserts, mentions


def cpp_functions(text: str) -> list:
    lines = rooms.blanked(text).splitlines()
    found = []
    for line, count, _ in rooms.cpp_functions(text):
        whole = "\n".join(lines[line - 1:line - 1 + count]).strip()
        test = CPP_TEST.match(whole)
        head, _, body = whole.partition("{")
        name = CPP_NAME.search(head)
        if test or name:
            found.append(Function(".".join(test.groups()) if test else name[1], line, bool(test),
                                  bool(CPP_ASSERTION.search(body)),
                                  set(CPP_WORD.findall(body))))
    return found


def names_in(node) -> set:
    return {getattr(each, "attr", getattr(each, "id", "")) for each in ast.walk(node)
            if isinstance(each, (ast.Name, ast.Attribute))}


def python_functions(text: str) -> list:
    module = ast.parse(text)
    owners = [module, *(node for node in ast.walk(module) if isinstance(node, ast.ClassDef))]
    found = []
    for owner in owners:
        for node in owner.body:
            if not isinstance(node, ast.FunctionDef):
                continue
            is_test = owner is not module and node.name.startswith("test")
            names = names_in(node)
            asserts = any(PYTHON_ASSERTION.match(name) for name in names)
            asserts = asserts or any(isinstance(each, ast.Assert) for each in ast.walk(node))
            name = f"{owner.name}.{node.name}" if is_test else node.name
            found.append(Function(name, node.lineno, is_test, asserts, names))
    return found


def python_imports(text: str) -> set:
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names.update(each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return names


def names_that_assert(functions: list) -> set:
    """Of functions that are no tests, those that assert themselves or through others of the list."""
    helpers = [each for each in functions if not each.is_test]
    names = {each.name for each in helpers if each.asserts}
    while True:
        more = {each.name for each in helpers if each.mentions & names} - names
        if not more:
            return names
        names |= more


def without_assertion(files: dict) -> list:
    """(path, line, name) of each test in path -> text that asserts nothing."""
    functions = {path: (python_functions if path.endswith(".py") else cpp_functions)(text)
                 for path, text in files.items()}
    headers = [each for path, some in functions.items() if path.endswith(".h") for each in some]
    modules = {path.rpartition("/")[2][:-3]: path for path in files if path.endswith(".py")}
    found = []
    for path, own in functions.items():
        shared = list(headers)
        if path.endswith(".py"):
            shared = []
            for module in python_imports(files[path]) & set(modules):
                shared += functions[modules[module]]
        names = names_that_assert(own + shared)
        found += [(path, test.line, test.name) for test in own
                  if test.is_test and not test.asserts and not test.mentions & names]
    return found
