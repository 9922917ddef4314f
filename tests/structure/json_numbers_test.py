"""Numbers come out of JSON by core/base/json_fields alone, and the rule finds where they do not.

The JSON library's own conversion to a whole number cuts a fraction short, takes true for 1, and is
undefined for a number that does not fit: a file that says 1.9 trains with 1. `whole_number` and its kin
refuse all of these. Of a double the library itself refuses whatever is no number, so `get<double>` may
stand. `get_to` hides which conversion it is.
"""

import re
import unittest

import rooms
from source_tree import CPP, read, tracked

PARTS = ("core/", "dist/", "launch/", "include/")
ROOM = "core/base/json_fields"  # which holds the one way

WHOLE = (r"(?:std::)?(?:u?int(?:_fast|_least)?(?:8|16|32|64|max|ptr)_t|s?size_t|ptrdiff_t"
         r"|(?:unsigned |signed )*(?:char|short|int|long(?: long)?|unsigned))")
NARROW = rf"(?:{WHOLE}|float)"
ELEMENT = r"""(?:\.\s*at\(\s*(?:""|\w+)\s*\)|\[\s*""\s*\])"""
RULES = {
    # get<int>(), get<std::vector<std::int64_t>>(), get<std::map<std::string, float>>()
    rf"(?:\.|->)\s*(?:template\s+)?get(?:_ptr|_ref)?<(?:[^;()]*[<,\s])?(?:const\s+)?{NARROW}\s*[\s&*,>]":
        "converts a number by the JSON library",
    # Of whatever type a template is for.
    r"(?:\.|->)\s*(?:template\s+)?get<(?:Value|Number|Type|T)>": "converts to whatever type",
    r"(?:\.|->)\s*get_to\(": "hides what get_to converts to",
    # value("steps", 0), value("steps", std::int64_t{0}): a fallback decides on the type.
    rf'(?:\.|->)\s*value\(\s*(?:""|\w+)\s*,\s*(?:-?\d[\d\']*[uUlL]*\s*\)|{NARROW}\s*[{{(])':
        "converts a number by its fallback",
    rf'(?:\.|->)\s*value<{NARROW}>\(\s*(?:""|\w+)\s*,': "converts a number by its fallback",
    # int steps = json.at("steps"); static_cast<int>(json["steps"]): unseen.
    rf"\b{NARROW}\s+\w+\s*(?:=\s*|\{{|\()\s*\w+(?:{ELEMENT})+\s*[;)}}]": "converts an element unseen",
    rf"static_cast<\s*{NARROW}\s*>\(\s*\w+(?:{ELEMENT})+\s*\)": "converts an element unseen",
}
RULES = {re.compile(pattern): what for pattern, what in RULES.items()}


def breaches(text: str) -> list:
    """(line, what) of each conversion in a text of C++."""
    code = rooms.blanked(text)
    return sorted((code.count("\n", 0, match.start()) + 1, what)
                  for rule, what in RULES.items() for match in rule.finditer(code))


def problems(files: dict) -> list:
    """`files`: path -> text."""
    return [f"{path}:{line}: {what}: take whole_number, whole_if_any or whole_number_at of {ROOM}.h "
            "(a text, a list of texts, a double: get<its type>)"
            for path, text in files.items() if path.rpartition(".")[0] != ROOM
            for line, what in breaches(text)]


class JsonNumbers(unittest.TestCase):
    def test_of_this_project(self):
        files = {path: read(path) for path in tracked(*CPP) if path.startswith(PARTS)}
        self.assertIn(ROOM + ".h", files)
        found = problems(files)
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_finds_a_conversion(self):
        for planted in ('x = json.at("n").get<int>();', 'x = found->get<std::int64_t>();',
                        'x = json["n"].get<std::size_t>();', 'x = json.get<unsigned long long>();',
                        'x = json.template get<std::uint64_t>();', "x = json.get<float>();",
                        "x = json.get<std::vector<std::int64_t>>();",
                        "x = json.get<std::vector<std::vector<int>>>();",
                        "x = json.get<std::map<std::string, std::int32_t>>();",
                        "x = json.get<std::pair<std::size_t, double>>();",
                        "x = *json.get_ptr<const std::int64_t*>();",
                        "x = json.get_ref<const std::uint64_t&>();", "x = json.get<Value>();",
                        'json.at("n").get_to(x);', 'x = json.value("n", 0);',
                        'x = json.value("n", -1L);', 'x = json.value("n", std::int64_t{0});',
                        'x = json.value(key, 1\'000);', 'x = json.value<int>("n", kNone);',
                        'std::int64_t x = json.at("n");', 'const int x{json["n"]};',
                        'int x = json.at("a").at("n");', 'x = static_cast<int>(json.at("n"));',
                        "x = json.at(0)  //\n    .get<int>();"):
            found = problems({"core/a.cpp": "// why\n\n" + planted})
            self.assertEqual(len(found), 1, planted)
            self.assertRegex(found[0], r"^core/a\.cpp:[34]: ")

    def test_lets_others_be(self):
        for text in ("x = json.get<double>();", "x = json.get<std::string>();", "x = json.get<bool>();",
                     "x = json.get<std::vector<std::string>>();", "x = json.get<EvaluationReport>();",
                     "x = json.get<std::vector<std::vector<double>>>();", "x = std::get<int>(variant);",
                     "x = std::get<0>(pair);", "x = pointer.get();", 'x = json.value("n", 0.0);',
                     'x = json.value("n", std::string());', 'x = json.value("n", false);',
                     "x = item.value();", "x = node.value<std::int64_t>();",
                     'x = whole_number<int>(json.at("n"));', "// json.get<int>()",
                     'say("json.get<int>()");', "int x = names.size();", "int x = rows.at(i).size;",
                     'const Json& x = json.at("n");'):
            self.assertEqual(problems({"core/a.cpp": text}), [], text)
        self.assertEqual(problems({ROOM + ".cpp": "json.get<int>();"}), [])


if __name__ == "__main__":
    unittest.main()
