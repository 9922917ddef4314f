// Which files make up a dataset.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <glob.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>

#include "core/base/error.h"
#include "core/data/dataset.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

/// The matches of one glob, sorted. A folder that may not be read is an error, not an absence.
std::vector<std::string> matches(const std::string& pattern) {
  glob_t found{};
  static thread_local std::string unreadable;
  unreadable.clear();
  const auto on_error = [](const char* folder, int error) {
    if (error != EACCES) return 0;
    unreadable = folder;
    return 1;
  };
  const int status = ::glob(pattern.c_str(), 0, on_error, &found);
  std::vector<std::string> names(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  if (status != 0 && status != GLOB_NOMATCH) {
    throw InputError(fmt::format("data.file: \"{}\": cannot be searched{}", pattern,
                                 unreadable.empty() ? "" : ": no permission for " + unreadable));
  }
  return names;
}

/// What helps where a flag's text was taken apart at a comma of a name; "" where there was none.
std::string comma_advice(const std::vector<std::string>& names) {
  if (names.size() < 2) return "";
  return fmt::format(
      "; a name that has a comma itself is written as a list on the command line: '[\"{}\"]'",
      fmt::join(names, ","));
}

void check_file(const std::string& name, const std::string& advice) {
  std::error_code error;
  const fs::file_status status = fs::status(name, error);
  if (status.type() == fs::file_type::not_found) {
    throw InputError(fmt::format("data.file: \"{}\": no such file (looked for from {}){}", name,
                                 fs::current_path(error).string(), advice));
  }
  if (fs::is_directory(status)) {
    throw InputError(fmt::format("data.file: \"{}\" is a folder; name its files: \"{}\"", name,
                                 (fs::path(name) / "*.h5").string()));
  }
  if (status.type() != fs::file_type::none && !fs::is_regular_file(status)) {
    throw InputError(fmt::format("data.file: \"{}\" is no regular file", name));
  }
  if (::access(name.c_str(), R_OK) != 0) {
    throw InputError(fmt::format("data.file: \"{}\": {}", name, std::strerror(errno)));
  }
}

}  // namespace

std::vector<std::string> expand_files(const std::vector<std::string>& patterns) {
  if (patterns.empty()) throw InputError("data.file: names no file");
  std::vector<std::string> files;
  std::map<std::string, std::string> seen;  // real path -> as named
  for (const std::string& pattern : patterns) {
    if (pattern.empty()) throw InputError("data.file: an empty name");
    std::vector<std::string> names = {pattern};
    // A file whose name happens to hold a glob's characters is meant as it stands.
    if (pattern.find_first_of("*?[") != std::string::npos && !fs::exists(pattern)) {
      names = matches(pattern);
      if (names.empty()) {
        throw InputError(
            fmt::format("data.file: \"{}\" matches no file{}", pattern, comma_advice(patterns)));
      }
    }
    for (const std::string& name : names) {
      check_file(name, comma_advice(patterns));
      const auto [other, fresh] = seen.emplace(fs::canonical(name).string(), name);
      if (!fresh) {
        throw InputError(
            fmt::format("data.file: \"{}\" is named twice{}: its samples would be "
                        "drawn twice an epoch",
                        name, other->second == name ? "" : ", as " + other->second));
      }
      files.push_back(name);
    }
  }
  return files;
}

}  // namespace thaw
