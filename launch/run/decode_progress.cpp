#include "launch/run/decode_progress.h"

#include <fmt/format.h>

#include "core/base/stopwatch.h"
#include "core/parallel/step_monitor.h"
#include "launch/terminal/terminal.h"

namespace thaw {

DecodeProgress decode_progress(int rank, StepMonitor* monitor) {
  if (rank != 0 && monitor == nullptr) {
    return {};
  }
  return [rank, monitor, watch = Stopwatch(), terminal = watched_on_terminal()](
             const std::string& what, std::int64_t done, std::int64_t total) mutable {
    if (monitor != nullptr) {
      monitor->tick();
    }
    if (rank != 0) {
      return;
    }
    const bool finished = done >= total;
    if (!finished && watch.seconds() < (terminal ? 0.1 : 5.0)) {
      return;
    }
    watch.lap();
    const double share =
        total > 0 ? 100.0 * static_cast<double>(done) / static_cast<double>(total) : 100.0;
    fmt::print(stderr, "{}decoding {}: {:.0f} % of {:.0f} MB{}", terminal ? "\r\x1b[K" : "", what,
               share, static_cast<double>(total) / 1e6, terminal && !finished ? "" : "\n");
    std::fflush(stderr);
  };
}

}  // namespace thaw
