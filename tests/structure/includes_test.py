"""Includes go downwards only and form no cycle; and each rule is shown to find what it forbids."""

import unittest

import includes
from source_tree import CPP, read, tracked


def project_layout() -> dict:
    return includes.layout(
        {part: read(f"{part}/CMakeLists.txt") for part in ("core", "dist", "launch")}
    )


def sources(*parts: str) -> dict:
    paths = [path for path in tracked(*CPP) if path.split("/")[0] in parts]
    return {path: read(path) for path in paths}


class Includes(unittest.TestCase):
    def test_of_this_project(self):
        files = sources("core", "dist", "launch")
        self.assertGreater(len(files), 10)
        found = includes.problems(files, project_layout())
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_of_the_public_headers(self):
        files = sources("core", "dist", "include")
        self.assertIn("core/train/trainer.h", includes.reached(files))
        self.assertNotIn("core/train/trainer_run.h", includes.reached(files))
        found = includes.problems_of_public_headers(files)
        self.assertFalse(found, "\n".join(found))

    def test_finds_too_many_public_headers(self):
        count = includes.PUBLIC_HEADERS
        files = {f"core/base/h{i}.h": f'#include "core/base/h{i + 1}.h"\n' for i in range(count)}
        files["include/thaw/base.h"] = '#include "core/base/h0.h"\n'
        files["include/thaw/thaw.h"] = '#include "thaw/base.h"\n'
        files["core/base/unreached.h"] = ""
        self.assertEqual(includes.problems_of_public_headers(files), [])
        files[f"core/base/h{count}.h"] = ""
        (problem,) = includes.problems_of_public_headers(files)
        self.assertIn(f"reaches {count + 1} headers", problem)

    def test_of_the_layout(self):
        allowed = project_layout()
        self.assertEqual(allowed["core/base"], {"core/base"})
        self.assertIn("core/schedule", allowed["core/data"])
        self.assertIn("core/train", allowed["dist/coordination"])
        self.assertGreater(len(allowed["launch"]), len(allowed["core/train"]))
        upward = "thaw_library(thaw_base FOLDER base DEPENDS thaw_data)\n"
        with self.assertRaisesRegex(ValueError, "thaw_data, which stands not below"):
            includes.layout({"core": upward + "thaw_library(thaw_data FOLDER data)"})

    def one_problem(self, **changes: str) -> str:
        """The only problem of a small sound project with some files changed."""
        files = {
            "core/base/error.h": "#pragma once\n#include <string>\n",
            "core/config/options.h": '#pragma once\n#include "core/base/error.h"\n',
            "core/config/options.cpp": '#include "core/config/options.h"\n#include <map>\n',
            "core/models/model.h": "#pragma once\n",
            "core/data/batch.h": "#pragma once\n",
            "dist/communicator/mpi.h": "#pragma once\n",
            "launch/main.cpp": '#include "core/models/model.h"\n',
        }
        allowed = project_layout()
        self.assertEqual(includes.problems(files, allowed), [])
        files.update(changes)
        (problem,) = includes.problems(files, allowed)
        return problem

    def test_finds_an_upward_include(self):
        problem = self.one_problem(
            **{"core/base/error.h": '#pragma once\n\n#include "core/models/model.h"\n'}
        )
        self.assertTrue(problem.startswith("core/base/error.h:3: "), problem)
        self.assertIn("only downwards", problem)

    def test_finds_core_that_includes_dist(self):
        problem = self.one_problem(
            **{"core/models/model.h": '#pragma once\n#include "dist/communicator/mpi.h"\n'}
        )
        self.assertIn("core/models must not include dist/communicator/mpi.h", problem)

    def test_finds_the_wrong_way_between_neighbours(self):
        problem = self.one_problem(
            **{"core/data/batch.h": '#pragma once\n#include "core/models/model.h"\n'}
        )
        self.assertIn("core/data must not include core/models/model.h", problem)

    def test_finds_a_cycle(self):
        problem = self.one_problem(
            **{
                "core/data/batch.h": '#pragma once\n#include "core/data/loader.h"\n',
                "core/data/loader.h": '#pragma once\n#include "core/data/batch.h"\n',
            }
        )
        self.assertIn("core/data/batch.h -> core/data/loader.h -> core/data/batch.h", problem)

    def test_finds_libraries_where_they_must_not_be(self):
        problem = self.one_problem(**{"core/data/batch.h": "#pragma once\n#include <mpi.h>\n"})
        self.assertIn("core must not know <mpi.h>", problem)
        problem = self.one_problem(
            **{"core/base/error.h": "#pragma once\n#include <ATen/core/Tensor.h>\n"}
        )
        self.assertIn("core/base must not know <ATen/core/Tensor.h>", problem)

    def test_finds_the_dear_header(self):
        problem = self.one_problem(
            **{"launch/main.cpp": '#include "core/models/model.h"\n#include <torch/torch.h>\n'}
        )
        self.assertTrue(problem.startswith("launch/main.cpp:2: torch/torch.h"), problem)

    def test_finds_a_header_that_is_not_first(self):
        problem = self.one_problem(
            **{"core/config/options.cpp": '#include <map>\n#include "core/config/options.h"\n'}
        )
        self.assertIn("core/config/options.cpp:1: the first include must be", problem)

    def test_finds_unknown_folders_files_and_guards(self):
        self.assertIn("no thaw_library", self.one_problem(**{"core/other/a.h": "#pragma once\n"}))
        self.assertIn(
            "no file of the project",
            self.one_problem(**{"core/data/batch.h": '#pragma once\n#include "batch.h"\n'}),
        )
        self.assertIn("no #pragma once", self.one_problem(**{"core/data/batch.h": "\n"}))


if __name__ == "__main__":
    unittest.main()
