"""A family of models is known by name in its room and its line alone; and the rule finds breaches."""

import unittest

import families
from source_tree import CPP, read, tracked

PARTS = ("core/", "dist/", "launch/", "include/")
FOREIGN = "launch/preparation/models/"  # reads another format, which has these names of its own

SOUND = {
    families.LIST: 'THAW_MODEL_FAMILY(own, "own-net", "stem", "depth")\n'
                   'THAW_MODEL_FAMILY(own_big, "own", "stem")\n',
    "core/models/own/own.cpp": '#include "core/models/own/layers.h"\nconst char* k = "own-net";\n'
                               "ModelFamily own_family() { return {}; }\n"
                               "ModelFamily own_big_family() { return {}; }\n",
    "core/models/registry.cpp": "// own\nint x;\n",
}


class Families(unittest.TestCase):
    def test_of_this_project(self):
        files = {path: read(path) for path in tracked(*CPP, ".py")
                 if path.startswith(PARTS) and not path.startswith(FOREIGN)}
        self.assertGreater(len(families.rooms(files)), 2)
        self.assertGreater(len(files), 300)
        found = families.problems(files)
        self.assertFalse(found, "\n" + "\n".join(found))

    def one_problem(self, **files: str) -> str:
        self.assertEqual(families.problems(SOUND), [])
        (problem,) = families.problems({**SOUND, **files})
        return problem

    def test_finds_a_name(self):
        for planted in ('if (name == "own-net") {}', 'f("no own-net here");', 'f(R"(own-net)");'):
            problem = self.one_problem(**{"launch/a.cpp": "// why\n" + planted})
            self.assertIn('launch/a.cpp:2: names the family "own-net"', problem)
        self.assertIn('names the family "own"',
                      self.one_problem(**{"launch/a.py": 'is_text = name == "own"\n'}))
        self.assertIn('names the family "own"',
                      self.one_problem(**{"core/models/b/b.cpp": 'x("own");\n'}))

    def test_finds_an_include_of_a_room(self):
        for path in ("core/models/registry.cpp", "launch/a.h"):
            problem = self.one_problem(**{path: '#include "core/models/own/layers.h"\n'})
            self.assertIn("includes core/models/own/layers.h", problem)

    def test_finds_a_line_without_a_room(self):
        line = 'THAW_MODEL_FAMILY(lost, "lost", "stem")\n'
        problem = self.one_problem(**{families.LIST: SOUND[families.LIST] + line})
        self.assertIn('"lost" has no room', problem)

    def test_lets_others_be(self):
        for text in ('f("owner");', 'f("own_net");', '// "own"', 'f("my-own-net");', "own();"):
            self.assertEqual(families.problems({**SOUND, "launch/a.cpp": text}), [], text)
        for text in ('"""Of own."""\n', "# own\n", 'x = "owner"\n'):
            self.assertEqual(families.problems({**SOUND, "launch/a.py": text}), [], text)


if __name__ == "__main__":
    unittest.main()
