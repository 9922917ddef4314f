#include "core/base/system.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace thaw {

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 && name[0] != '\0' ? name : "unknown";
}

std::string temporary_folder() {
  const char* named = std::getenv("TMPDIR");
  return named != nullptr && *named != '\0' ? named : "/tmp";
}

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

namespace {

constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

/// The number behind `key` in a file of lines `key number …`; `key` "" takes the first number.
std::optional<std::int64_t> number_in(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string word;
    std::int64_t number = 0;
    if (!key.empty() && !(words >> word && word == key)) continue;
    if (words >> number) return number;
    return std::nullopt;  // "max": no limit
  }
  return std::nullopt;
}

/// What is left below the limit of one control group. Its page cache counts as used there but is
/// given back on demand.
std::int64_t left_in_group(const std::string& folder, const char* limit_file,
                           const char* usage_file, const char* cache_key) {
  const auto limit = number_in(folder + "/" + limit_file, "");
  const auto usage = number_in(folder + "/" + usage_file, "");
  if (!limit || !usage) return kUnlimited;
  const std::int64_t cache = number_in(folder + "/memory.stat", cache_key).value_or(0);
  return std::max<std::int64_t>(0, *limit - std::max<std::int64_t>(0, *usage - cache));
}

/// The least that is left in the group `path` and those around it.
std::int64_t left_in_groups(const std::string& mount, std::string path, bool version2) {
  std::int64_t left = kUnlimited;
  while (true) {
    const std::string folder = mount + path;
    left = std::min(
        left, version2 ? left_in_group(folder, "memory.max", "memory.current", "inactive_file")
                       : left_in_group(folder, "memory.limit_in_bytes", "memory.usage_in_bytes",
                                       "total_inactive_file"));
    if (path.empty()) return left;
    path.resize(path.find_last_of('/') == std::string::npos ? 0 : path.find_last_of('/'));
  }
}

std::int64_t left_in_control_groups(const std::string& root) {
  std::int64_t left = kUnlimited;
  std::ifstream file(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {  // hierarchy:controllers:path
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    if (controllers == ",,") {
      left = std::min(left, left_in_groups(root + "/sys/fs/cgroup", path, true));
    } else if (controllers.find(",memory,") != std::string::npos) {
      left = std::min(left, left_in_groups(root + "/sys/fs/cgroup/memory", path, false));
    }
  }
  return left;
}

}  // namespace

std::int64_t available_memory(const std::string& root) {
  const auto kibibytes = number_in(root + "/proc/meminfo", "MemAvailable:");
  // Where the system says nothing, trust the allocator to refuse.
  const std::int64_t available = kibibytes ? *kibibytes * 1024 : kUnlimited;
  return std::min(available, left_in_control_groups(root));
}

std::string memory_text(std::int64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return fmt::format("{} bytes", bytes);
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return value < 10 ? fmt::format("{:.1f} {}", value, kUnits[unit])
                    : fmt::format("{:.0f} {}", value, kUnits[unit]);
}

namespace {

/// Of /proc/self/status, in bytes; 0 where it does not say.
std::int64_t number_of_status(const std::string& wanted) {
  return number_in("/proc/self/status", wanted).value_or(0) * 1024;
}

}  // namespace

void reset_peak_resident() { std::ofstream("/proc/self/clear_refs") << "5"; }

std::int64_t peak_resident_bytes() { return number_of_status("VmHWM:"); }

std::int64_t resident_bytes() { return number_of_status("VmRSS:"); }

// Note [Freed memory]
// Every training step allocates and frees the same activations, tens of megabytes each. glibc gives
// blocks of that size back to the system at once, so each step would touch all its pages for the
// first time again: a third of a ResNet-56 step on two cores. Kept, they are there in the next
// step; the process's peak is what it was, only its resident memory no longer falls in between.
void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
}

void give_back_freed_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

void give_back_pages(void* memory, std::size_t bytes) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t begin = (address + page - 1) / page * page;
  const std::uintptr_t end = (address + bytes) / page * page;
  if (begin < end) {  // what is refused stays resident, which changes nothing else
    static_cast<void>(
        ::madvise(static_cast<char*>(memory) + (begin - address), end - begin, MADV_DONTNEED));
  }
}

// On Linux a nice value belongs to a thread, whatever POSIX says. Where it is refused the thread
// runs as any other.
void lower_priority_of_this_thread() {
  constexpr int kThisThread = 0;
  constexpr int kNice = 10;
  static_cast<void>(::setpriority(PRIO_PROCESS, kThisThread, kNice));
}

}  // namespace thaw
