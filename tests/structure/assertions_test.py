"""Every test asserts something; and the check finds one that does not."""

import unittest

import assertions
from source_tree import read, tracked

CPP = """\
#include <gtest/gtest.h>
namespace {

void expect_positive(int value) { EXPECT_GT(value, 0); }
int twice(int value) { return 2 * value; }
void expect_both(int a, int b) {
  expect_positive(a);
  expect_positive(b);
}

TEST(Twice, Asserts) { EXPECT_EQ(twice(1), 2); }
TEST_F(Twice, ByAHelper) { expect_positive(twice(1)); }
TEST_P(Twice, ByAHelperOfAHelper) {
  for (int i = 1; i < 3; ++i) {
    expect_both(i, twice(i));
  }
}
TEST(Twice, GivesAHelperAway) { on_ranks(2, expect_positive); }
TEST(Twice, InALambda) {
  on_ranks(2, [&] { ASSERT_TRUE(true); });
}
}
"""

PYTHON = """\
import unittest

def check_nothing(value):
    return value

class Cases(unittest.TestCase):
    def expect_both(self, a, b):
        self.assertTrue(a and b)

    def refuse(self):
        self.expect_both(1, 2)

    def test_asserts(self):
        self.assertEqual(1, 1)

    def test_by_a_helper(self):
        self.refuse()

    def test_in_a_block(self):
        with self.assertRaises(ValueError):
            check_nothing(1)

    def test_fails(self):
        if check_nothing(0):
            self.fail("never")
"""


class Assertions(unittest.TestCase):
    def test_of_this_project(self):
        files = {path: read(path) for path in tracked(".cpp", ".h", ".py")
                 if path.startswith("tests/")}
        found = [f"{path}:{line}: {name} asserts nothing: say what must hold, if only afterwards"
                 for path, line, name in assertions.without_assertion(files)]
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_sees_all_of_them(self):
        files = {path: read(path) for path in tracked("_test.cpp", "_test.py")
                 if path.startswith("tests/")}
        for path, text in files.items():
            python = path.endswith(".py")
            functions = (assertions.python_functions if python else assertions.cpp_functions)(text)
            self.assertTrue(any(each.is_test for each in functions) or "unittest" not in text
                            and python, path)

    def found(self, **files: str) -> list:
        sound = {"a_test.cpp": CPP, "b_test.py": PYTHON}
        self.assertEqual(assertions.without_assertion(sound), [])
        return [name for _, _, name in assertions.without_assertion({**sound, **files})]

    def test_finds_a_case_without(self):
        for body in ("{ twice(1); }", "{\n  // EXPECT_EQ(twice(1), 2);\n  twice(1);\n}",
                     '{ say("EXPECT_EQ(1, 1)"); }', "{}"):
            planted = CPP + f"TEST(Twice, AssertsNothing) {body}\n"
            self.assertEqual(self.found(**{"a_test.cpp": planted}), ["Twice.AssertsNothing"], body)

    def test_finds_a_case_whose_helper_lost_its_assertion(self):
        planted = CPP.replace("EXPECT_GT(value, 0)", "use(value)")
        self.assertEqual(self.found(**{"a_test.cpp": planted}),
                         ["Twice.ByAHelper", "Twice.ByAHelperOfAHelper", "Twice.GivesAHelperAway"])

    def test_finds_a_method_without(self):
        planted = PYTHON + "\n    def test_nothing(self):\n        check_nothing(1)\n"
        self.assertEqual(self.found(**{"b_test.py": planted}), ["Cases.test_nothing"])

    def test_looks_into_what_is_shared(self):
        uses = "TEST(Other, Uses) { expect_positive(1); }\n"
        self.assertEqual(self.found(**{"c_test.cpp": uses}), ["Other.Uses"])
        header = "inline void expect_positive(int value) { EXPECT_GT(value, 0); }\n"
        self.assertEqual(self.found(**{"c_test.cpp": uses, "shared.h": header}), [])
        uses = "class C(T):\n    def test_it(self):\n        expect_one(1)\n"
        self.assertEqual(self.found(**{"d_test.py": uses}), ["C.test_it"])
        fixture = "def expect_one(value):\n    assert value == 1\n"
        self.assertEqual(self.found(**{"d_test.py": "from fixture import expect_one\n" + uses,
                                       "fixture.py": fixture}), [])


if __name__ == "__main__":
    unittest.main()
