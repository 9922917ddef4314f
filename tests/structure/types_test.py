"""A name stands for one type: two headers that define different types under one name in one namespace are
no error of any compiler's, since each file sees one of them, but the linker takes one's destructor for the
other's."""

import re
import unittest

from source_tree import read, tracked

NAMESPACE = re.compile(r"^namespace (\w[\w:]*) \{$|^\}  // namespace (\w[\w:]*)$", re.MULTILINE)
TYPE = re.compile(r"^(?:struct|class) (\w+)(?: final)?(?:\s*:(?!:)[^;{]*)?\s*\{", re.MULTILINE)


def types(text: str):
    """Qualified names of the types that a header defines at a namespace's level."""
    events = [(match.start(), "namespace", match) for match in NAMESPACE.finditer(text)]
    events += [(match.start(), "type", match) for match in TYPE.finditer(text)]
    inside = []
    for _, what, match in sorted(events, key=lambda event: event[0]):
        if what == "type":
            yield "::".join([*inside, match[1]])
        elif match[1]:
            inside.append(match[1])
        elif inside:
            inside.pop()


def problems(headers: dict) -> list:
    """`headers`: path -> text."""
    where = {}
    for path, text in headers.items():
        for name in types(text):
            where.setdefault(name, []).append(path)
    return [f"{name} is defined in {' and in '.join(paths)}: give one of them a name of its own"
            for name, paths in where.items() if len(paths) > 1]


class Types(unittest.TestCase):
    def test_of_this_project(self):
        headers = {path: read(path) for path in tracked(".h")
                   if path.startswith(("core/", "dist/", "launch/", "include/"))}
        self.assertGreater(len(headers), 100)
        found = problems(headers)
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_finds_two_of_one_name(self):
        one = "namespace thaw {\n\nstruct Curve {\n  int a;\n};\n\n}  // namespace thaw\n"
        other = one.replace("struct Curve", "class Curve final : public Base")
        (found,) = problems({"a.h": one, "b.h": other})
        self.assertIn("thaw::Curve is defined in a.h and in b.h", found)

    def test_lets_namespaces_and_declarations_be(self):
        one = "namespace thaw {\nstruct Curve {};\n}  // namespace thaw\n"
        inner = ("namespace thaw {\nnamespace nn {\nstruct Curve {};\n}  // namespace nn\n"
                 "class Curve;\n}  // namespace thaw\n")
        self.assertEqual(problems({"a.h": one, "b.h": inner}), [])


if __name__ == "__main__":
    unittest.main()
