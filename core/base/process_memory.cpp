#include "core/base/process_memory.h"

#include <fstream>
#include <string>

namespace thaw {

void reset_peak_resident() { std::ofstream("/proc/self/clear_refs") << "5"; }

std::int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  std::string key;
  while (status >> key) {
    if (key == "VmHWM:") {
      std::int64_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes * 1024;
    }
  }
  return 0;
}

}  // namespace thaw
