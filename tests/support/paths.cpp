#include "tests/support/paths.h"

#include <cstdlib>
#include <filesystem>

namespace thaw {

namespace {

std::string from_environment(const char* name, const char* otherwise) {
  const char* given = std::getenv(name);
  return given != nullptr && *given != '\0' ? given : otherwise;
}

}  // namespace

std::string source_path(std::string_view relative) {
  return std::string(THAW_SOURCE_DIR) + "/" + std::string(relative);
}

std::string test_data(std::string_view relative) {
  const std::string path =
      from_environment("THAW_TEST_DATA", THAW_TEST_DATA) + "/" + std::string(relative);
  return std::filesystem::exists(path) ? path : "";
}

std::string test_python() { return from_environment("THAW_TEST_PYTHON", THAW_TEST_PYTHON); }

}  // namespace thaw
