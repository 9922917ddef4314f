#include "launch/job/restart_clock.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <utility>

#include "core/base/progress/notice.h"

namespace thaw {
namespace {

/// Hands the time from one life of the job to the next: seconds since the epoch.
constexpr const char* kVariable = "THAW_RESTARTED_AT";

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

std::string restart_clock_setting() { return fmt::format("{}={:.3f}", kVariable, now()); }

RestartClock::RestartClock() {
  const char* text = std::getenv(kVariable);
  ended_at_ = text != nullptr ? std::atof(text) : 0;
}

void RestartClock::step(const StepReport& report) {
  if (ended_at_ <= 0) return;
  const double seconds = now() - std::exchange(ended_at_, 0);
  say(fmt::format("thaw: training again: step {} done {:.1f} s after the job had ended\n",
                  report.step, seconds));
}

}  // namespace thaw
