#pragma once

#include <string>
#include <string_view>

namespace thaw {

/// Path of a file of the source tree, from its root: "tests/core/models/fixtures/bert.safetensors".
std::string source_path(std::string_view relative);

/// Path of a file of the tests' larger data (the environment's THAW_TEST_DATA, by default
/// ../shared/data beside the source tree), or "" where it is not: the test then skips itself.
std::string test_data(std::string_view relative);

}  // namespace thaw
