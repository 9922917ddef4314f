#include "core/base/process_memory.h"

#include <malloc.h>

#include <fstream>
#include <limits>
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

}  // namespace thaw
