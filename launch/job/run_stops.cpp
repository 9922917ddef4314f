#include "launch/job/run_stops.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

#include "core/base/progress/notice.h"
#include "launch/job/stop_signals.h"

namespace thaw {
namespace {

using Clock = std::chrono::steady_clock;

// A look at the file costs a round trip to the server of a shared file system.
constexpr double kSecondsBetweenLooks = 0.2;

/// Beyond it, time is without an end: the clock counts nanoseconds in 63 bits.
constexpr double kForever = 1e9;

Clock::time_point after(double seconds) {
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

double stop_margin(double slowest_save, double longest_step, double whole_time) {
  // Twice what was measured, since a file system may be slower the next time.
  const double save = slowest_save > 0 ? 2 * slowest_save : std::min(60.0, whole_time / 10);
  return save + 2 * longest_step + std::min(10.0, whole_time / 20);
}

std::optional<double> seconds_to_slurm_end() {
  const char* text = std::getenv("SLURM_JOB_END_TIME");
  if (text == nullptr) return std::nullopt;
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), seconds);
  if (error != std::errc() || *end != '\0' || seconds <= 0) return std::nullopt;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<double>(seconds) - std::chrono::duration<double>(now).count();
}

std::optional<Clock::time_point> end_of_time(double time_limit) {
  double left = time_limit > 0 ? time_limit : kForever;
  if (const std::optional<double> slurm = seconds_to_slurm_end(); slurm && *slurm > 0) {
    left = std::min(left, *slurm);
  }
  if (left >= kForever) return std::nullopt;
  return after(left);
}

RunStops::RunStops(std::filesystem::path stop_file, double time_limit, bool first_rank)
    : stop_file_(std::move(stop_file)), first_rank_(first_rank), end_(end_of_time(time_limit)) {
  if (end_) whole_time_ = std::chrono::duration<double>(*end_ - Clock::now()).count();
  std::error_code ignored;
  if (!first_rank_) return;
  std::filesystem::remove(stop_file_, ignored);  // it stopped the run before
  if (const std::optional<double> left = seconds_to_slurm_end(); left && *left <= 0) {
    fmt::print(stderr,
               "thaw: warning: SLURM_JOB_END_TIME has passed {:.0f} s ago: it is left over from "
               "another job and is ignored\n",
               -*left);
  }
}

StopReason RunStops::wanted(double seconds_to_save) {
  if (StopSignals::came()) {
    if (first_rank_ && !std::exchange(said_, true)) {
      say("thaw: stopping: the step under way is finished and saved. A second Ctrl-C ends at once, "
          "and loses what came after the last checkpoint\n");
    }
    return StopReason::kSignal;
  }
  if (!first_rank_) return StopReason::kNone;
  if (file_came()) return StopReason::kStopFile;
  return time_is_up(seconds_to_save) ? StopReason::kTimeLimit : StopReason::kNone;
}

bool RunStops::file_came() {
  if (file_came_ || since_look_.seconds() < kSecondsBetweenLooks) return file_came_;
  since_look_.lap();
  std::error_code ignored;
  file_came_ = std::filesystem::exists(stop_file_, ignored);
  if (file_came_) std::filesystem::remove(stop_file_, ignored);
  return file_came_;
}

bool RunStops::time_is_up(double seconds_to_save) {
  longest_step_ = std::max(longest_step_, since_step_.lap());
  if (!end_) return false;
  const double left = std::chrono::duration<double>(*end_ - Clock::now()).count();
  return left < stop_margin(seconds_to_save, longest_step_, whole_time_);
}

}  // namespace thaw
