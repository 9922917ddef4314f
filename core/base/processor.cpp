#include "core/base/processor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>
#include <vector>

namespace thaw {
namespace {

/// Of /proc/cpuinfo; x86 has the first ones, ARM the others. Clocks and flags may change from boot
/// to boot.
constexpr const char* kFields[] = {"model name",      "cpu family", "model",
                                   "CPU implementer", "CPU part",   "CPU variant"};

}  // namespace

std::string processor_kind() {
  std::ifstream file("/proc/cpuinfo");
  std::vector<std::string> parts;
  // All of the first CPU, up to the empty line.
  for (std::string line; std::getline(file, line) && !line.empty();) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || colon + 2 > line.size()) continue;
    const std::string field = line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1);
    for (const char* wanted : kFields) {
      if (field != wanted) continue;
      const bool is_name = field == "model name";
      parts.push_back(is_name ? line.substr(colon + 2) : field + " " + line.substr(colon + 2));
    }
  }
  return parts.empty() ? "unknown" : fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace thaw
