#include "core/record/run_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/whole_file.h"

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

}  // namespace

bool RunFolder::holds_a_run() const {
  std::error_code ignored;
  return fs::exists(resolved_configuration(), ignored) || fs::exists(metrics(), ignored) ||
         fs::exists(summary(), ignored) || fs::exists(last_weights(), ignored) ||
         fs::exists(best_weights(), ignored) || fs::exists(checkpoints(), ignored);
}

void RunFolder::require_run() const {
  if (holds_a_run()) return;
  std::error_code ignored;
  if (fs::is_directory(path_, ignored)) {
    throw InputError(fmt::format("{}: this folder holds no run", path_.string()));
  }
  if (!fs::exists(path_, ignored)) {
    throw InputError(fmt::format("{}: there is no such folder", path_.string()));
  }
  const fs::path above = fs::absolute(path_).parent_path();
  throw InputError(fmt::format(
      "{}: a run's folder is wanted, not a file{}; name {}", path_.string(),
      kind_clause(path_.string()),
      RunFolder(above).holds_a_run() ? "the folder that it lies in" : "the folder of a run"));
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

void RunFolder::check_unplanted() const {
  refuse_planted(metrics(), /*folder=*/false);
  refuse_planted(checkpoints(), /*folder=*/true);
}

void RunFolder::create() const {
  std::vector<fs::path> parents;  // of what is not there yet
  const fs::path ancestor = existing_ancestor(path_);
  for (fs::path each = fs::absolute(path_); each != ancestor && each.has_relative_path();
       each = each.parent_path()) {
    parents.push_back(each.parent_path());
  }
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) {
    throw RunError(
        fmt::format("{}: cannot create the run folder: {}", path_.string(), error.message()));
  }
  for (const fs::path& each : parents) flush_folder(each);
}

void RunFolder::remove_leftovers() const noexcept {
  const std::array<fs::path, 14> ours = {resolved_configuration(),
                                         identity(),
                                         metrics(),
                                         summary(),
                                         last_weights(),
                                         best_weights(),
                                         evaluation("train"),
                                         "config.json",
                                         "tokenizer.json",
                                         "tokenizer_config.json",
                                         "special_tokens_map.json",
                                         "chat_template.jinja",
                                         "generation_config.json",
                                         "frozen-state"};
  std::error_code error;
  std::vector<fs::path> left;
  for (fs::directory_iterator each(path_, error), end; !error && each != end;
       each.increment(error)) {
    const std::string name = each->path().filename().string();
    const bool half =
        name.ends_with(".tmp") && std::any_of(ours.begin(), ours.end(), [&](auto& path) {
          return name.starts_with(path.filename().string() + ".");
        });
    if (half) left.push_back(each->path());
  }
  for (const fs::path& each : left) fs::remove(each, error);
}

}  // namespace thaw
