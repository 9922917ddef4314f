#include "core/base/background.h"

#include <sys/resource.h>

namespace thaw {

// On Linux a nice value belongs to a thread, whatever POSIX says. Where it is refused the thread
// runs as any other.
void lower_priority_of_this_thread() {
  constexpr int kThisThread = 0;
  constexpr int kNice = 10;
  static_cast<void>(::setpriority(PRIO_PROCESS, kThisThread, kNice));
}

}  // namespace thaw
