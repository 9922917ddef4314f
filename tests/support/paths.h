#pragma once

#include <string>
#include <string_view>

namespace thaw {

/// Path of a file of the source tree, from its root: "tests/core/models/fixtures/bert.safetensors".
std::string source_path(std::string_view relative);

/// Path of a file of the tests' larger data (the environment's THAW_TEST_DATA, by default the
/// folder that CMake was given), or "" where it is not: the test then skips itself.
std::string test_data(std::string_view relative);

/// The Python of tests that have one read or write files: the environment's THAW_TEST_PYTHON, by
/// default the one that CMake was given.
std::string test_python();

}  // namespace thaw
