#include "launch/price/saving_speed.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/base/whole_file.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

/// `path`, or the nearest folder above it that is there.
fs::path existing_folder(fs::path path) {
  std::error_code error;
  path = fs::absolute(path, error);
  while (!fs::is_directory(path, error) && path.has_relative_path()) path = path.parent_path();
  return path;
}

}  // namespace

std::optional<double> saving_seconds_a_byte(const std::string& run_dir) {
  constexpr std::size_t kBytes = 16 << 20;
  const fs::path file =
      existing_folder(run_dir.empty() ? "runs" : run_dir) / fmt::format(".thaw-price.{}", getpid());
  const std::string bytes(kBytes, 'x');
  const Stopwatch watch;
  try {
    write_whole_file(file, bytes);
  } catch (const RunError&) {
    return std::nullopt;  // the price says that saving is left out
  }
  const double seconds = watch.seconds();
  std::error_code error;
  fs::remove(file, error);
  return seconds / static_cast<double>(kBytes);
}

}  // namespace thaw
