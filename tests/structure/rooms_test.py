"""No folder, file or function grows past what one can keep in mind; and each rule finds a breach."""

import unittest

import rooms
from source_tree import read, tracked

PARTS = ("core/", "dist/", "launch/")

SOUND = """\
#include "core/base/error.h"

namespace thaw {

/// What it is.
int twice(int value) { return 2 * value; }  // and why

}  // namespace thaw
"""


def sources() -> dict:
    paths = [path for path in tracked(*rooms.CPP, ".py") if path.startswith(PARTS)]
    return {path: read(path) for path in paths if not path.endswith("__init__.py")}


def long_function(lines: int) -> str:
    return "int f() {\n" + "  g();  // why\n" * (lines - 2) + "}\n"


class Rooms(unittest.TestCase):
    def test_of_this_project(self):
        files = sources()
        for name, value in rooms.figures(files).items():
            print(f"{name}: {value:.3g}")
        found = rooms.problems(files)
        self.assertFalse(found, "\n" + "\n".join(found))

    def one_problem(self, **files: str) -> str:
        self.assertEqual(rooms.problems({"core/base/error.h": SOUND}), [])
        (problem,) = rooms.problems({"core/base/error.h": SOUND, **files})
        return problem

    def test_a_header_its_sources_and_its_cuda_part_are_one_room(self):
        paths = ["a/b.h", "a/b.cpp", "a/b_cuda.cpp", "a/b.inc", "a/c.py", "a/d/e.h"]
        self.assertEqual(rooms.rooms(paths), {"a": 2, "a/d": 1})

    def test_finds_a_full_folder(self):
        full = {f"core/data/room_{i}.h": SOUND for i in range(rooms.ROOMS_A_FOLDER)}
        self.assertEqual(rooms.problems(full), [])
        self.assertIn("core/data: 17 rooms", self.one_problem(**full, **{"core/data/x.cpp": SOUND}))

    def test_finds_a_long_file(self):
        declarations = "int x;  // why\n" * (rooms.LINES_A_FILE + 1)
        self.assertIn("core/base/x.h: 401 lines",
                      self.one_problem(**{"core/base/x.h": SOUND, "core/base/y.h": SOUND,
                                          "core/base/z.h": declarations.replace("x", "y")})
                      .replace("z.h", "x.h"))

    def test_finds_a_long_function(self):
        small = {f"core/base/s{i}.h": SOUND for i in range(15)}
        self.assertEqual(rooms.problems({**small, "core/base/a.h": long_function(60)}), [])
        problem = self.one_problem(**small, **{"core/data/a.h": SOUND + long_function(61)})
        self.assertEqual(problem, "core/data/a.h:9: 61 lines, at most 60: int f() {}")

    def test_finds_many_long_functions_and_files(self):
        many = {f"core/base/f{i}.h": long_function(31) for i in range(3)}
        self.assertIn("lines a function, p90: 31, at most 30", self.one_problem(**many))
        many = {f"core/base/f{i}.h": "int x;  // why\n" * 121 for i in range(3)}
        self.assertIn("lines a file, median: 121, at most 120", self.one_problem(**many))

    def test_finds_too_few_comments(self):
        self.assertRegex(self.one_problem(**{"core/base/x.h": "int x;\n" * 100}), "at least 1[45]%")


class Counting(unittest.TestCase):
    def lengths(self, text: str) -> list:
        return [lines for _, lines, _ in rooms.cpp_functions(text)]

    def test_of_functions(self):
        text = """\
namespace thaw { namespace {
constexpr int kTable[] = {1, 2};
template <typename T>
T twice(T value,
        int other = {}) {
  if (value) { return {}; }
  return [&] { return "}"; }();  // }
}
}
struct Point final : Base<int> {
  Point() : x_{1}, y_(2) {}
  int x() const { return x_; }
 private:
  std::function<void()> f_ = [] { done(); };
  int x_{0};
};
extern "C" void handler(int) {
  x = '"' + 1'000 + '{';
  R"(})";
}
enum class Kind { kOne, kTwo };
Point::Point(int a)
    : x_(a), y_{a} {
  done();
}
}
"""
        self.assertEqual(self.lengths(text), [6, 1, 1, 1, 4, 4])
        self.assertEqual([line for line, _, _ in rooms.cpp_functions(text)], [3, 11, 12, 14, 17, 22])

    def test_of_macros(self):
        self.assertEqual(self.lengths("#define F(x) \\\n  if (x) {\nint f() {\n}\n"), [2])

    def test_of_python(self):
        text = "class A:\n    def f(self):\n        def g():\n            pass\n        return g\n"
        self.assertEqual(rooms.python_functions(text), [(2, 4, "def f")])

    def test_of_comments(self):
        self.assertEqual(rooms.comment_lines('a;  // b\n/* c\nd */ e;\nf("// no");\n'), 3)


if __name__ == "__main__":
    unittest.main()
