#include "tests/support/paths.h"

#include <cstdlib>
#include <filesystem>

namespace thaw {

std::string source_path(std::string_view relative) {
  return std::string(THAW_SOURCE_DIR) + "/" + std::string(relative);
}

std::string test_data(std::string_view relative) {
  const char* given = std::getenv("THAW_TEST_DATA");
  const std::string folder = given != nullptr ? given : source_path("../shared/data");
  const std::string path = folder + "/" + std::string(relative);
  return std::filesystem::exists(path) ? path : "";
}

}  // namespace thaw
