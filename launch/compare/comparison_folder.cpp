#include "launch/compare/comparison_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/base/whole_file.h"
#include "core/record/folder_lease.h"
#include "core/record/run_folder.h"

namespace thaw {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPartial = ".partial";
/// Files of the comparison itself, that are written under another name beside their places.
constexpr std::array<std::string_view, 3> kWhole = {"comparison.", "request.json.",
                                                    "shared-cores."};

bool is_half_written(const std::string& name, bool at_top) {
  if (!at_top) return name.starts_with("evaluation.") && name.ends_with(kPartial);
  return name.ends_with(".tmp") &&
         std::any_of(kWhole.begin(), kWhole.end(),
                     [&](std::string_view each) { return name.starts_with(each); });
}

}  // namespace

fs::path measured_of(const fs::path& run_folder, const std::string& split) {
  return RunFolder(run_folder).evaluation(split);
}

fs::path partial_of(const fs::path& measured) { return measured.string() + std::string(kPartial); }

bool is_lease(const fs::path& path) { return path.filename().string().starts_with(kLeasePrefix); }

void start_anew(const fs::path& folder, const fs::path& run_folder) {
  for (fs::path each = run_folder; each != folder && each.has_relative_path();
       each = each.parent_path()) {
    refuse_planted(each, /*folder=*/true);
  }
  if (fs::is_directory(run_folder)) {
    const FolderLease lease(run_folder);
    std::vector<fs::path> left;
    for (const auto& each : fs::directory_iterator(run_folder)) {
      if (!is_lease(each.path())) left.push_back(each.path());
    }
    for (const fs::path& each : left) fs::remove_all(each);
  }
  fs::create_directories(run_folder.parent_path());
}

void remove_half_written(const fs::path& folder) noexcept {
  std::vector<fs::path> left;
  std::error_code error;
  for (fs::recursive_directory_iterator each(folder, error), end; !error && each != end;
       each.increment(error)) {
    const fs::path path = each->path();
    if (is_half_written(path.filename().string(), each.depth() == 0)) left.push_back(path);
  }
  for (const fs::path& each : left) fs::remove(each, error);
}

}  // namespace thaw
