#pragma once

#include <filesystem>
#include <system_error>

namespace thaw {

/// Whether there is something at a path; not where that cannot be found out.
inline bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace thaw
