#include "launch/simulate/named_network.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "dist/forecast/network_reader.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEnding = ".toml";

/// Where the descriptions lie that come with Thaw.
fs::path networks_folder() {
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  const fs::path places[] = {folder / "thaw-networks", folder / ".." / "share/thaw/networks"};
  for (const fs::path& place : places) {
    if (fs::is_directory(place, error)) return place;
  }
  throw InputError(fmt::format(
      "{}: is not there: descriptions of networks belong in it; name a file", places[0].string()));
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == kEnding) names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

Network named_network(const std::string& option, const std::string& name) {
  if (fs::path(name).extension() == kEnding) return read_network(name);
  const fs::path folder = networks_folder();
  const std::vector<std::string> names = names_in(folder);
  if (std::find(names.begin(), names.end(), name) != names.end()) {
    return read_network((folder / (name + kEnding)).string());
  }
  const std::string near = nearest_name(name, names);
  throw InputError(fmt::format("{} {}: expected {}, or a file that ends in .toml{}", option, name,
                               fmt::join(names, ", "),
                               near.empty() ? "" : fmt::format("; did you mean {}?", near)));
}

}  // namespace thaw
