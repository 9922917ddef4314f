#include "core/record/run_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "core/base/error.h"

namespace thaw {
namespace fs = std::filesystem;
namespace {

/// The nearest folder on the way up that exists.
fs::path existing_ancestor(const fs::path& path) {
  std::error_code ignored;
  fs::path folder = fs::absolute(path);
  while (!fs::exists(folder, ignored) && folder.has_relative_path()) {
    folder = folder.parent_path();
  }
  return folder;
}

[[noreturn]] void fail(const fs::path& path, const char* doing) {
  throw RunError(fmt::format("{}: cannot {}: {}", path.string(), doing, std::strerror(errno)));
}

}  // namespace

bool RunFolder::holds_a_run() const {
  std::error_code ignored;
  return fs::exists(resolved_configuration(), ignored) || fs::exists(metrics(), ignored) ||
         fs::exists(summary(), ignored) || fs::exists(last_weights(), ignored) ||
         fs::exists(best_weights(), ignored) || fs::exists(checkpoints(), ignored);
}

void RunFolder::check_usable() const {
  if (holds_a_run()) {
    throw InputError(fmt::format(
        "{}: holds a run already, which is never overwritten: go on with it (--resume auto), name "
        "another folder with --run-dir, or remove it",
        path_.string()));
  }
  check_writable();
}

void RunFolder::check_writable() const {
  const fs::path ancestor = existing_ancestor(path_);
  if (!fs::is_directory(ancestor)) {
    throw InputError(fmt::format("{}: cannot be created: {} is not a folder", path_.string(),
                                 ancestor.string()));
  }
  if (access(ancestor.c_str(), W_OK | X_OK) != 0) {
    throw InputError(fmt::format(
        "{}: cannot be written: {} in {}; name a folder that you may write to with --run-dir",
        path_.string(), std::strerror(errno), ancestor.string()));
  }
}

void RunFolder::create() const {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) {
    throw RunError(
        fmt::format("{}: cannot create the run folder: {}", path_.string(), error.message()));
  }
}

void write_file_atomically(const fs::path& path, const std::string& text) {
  const fs::path temporary = path.string() + ".partial";
  const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) {
    fail(temporary, "create it");
  }
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = write(file, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      close(file);
      fail(temporary, "write to it");
    }
    written += static_cast<std::size_t>(count);
  }
  if (fsync(file) != 0 || close(file) != 0) {
    fail(temporary, "finish writing it");
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    fail(path, "put it in place");
  }
}

}  // namespace thaw
