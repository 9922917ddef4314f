#include "launch/job/run_stops.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "launch/job/stop_signals.h"

namespace thaw {
namespace {

using Clock = std::chrono::system_clock;

// A look at the file costs a round trip to the server of a shared file system.
constexpr double kSecondsBetweenLooks = 0.2;

Clock::time_point after(double seconds) {
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

/// When Slurm will end this job; nothing outside of one, or where it does not say.
std::optional<Clock::time_point> slurm_job_end() {
  const char* text = std::getenv("SLURM_JOB_END_TIME");
  if (text == nullptr) return std::nullopt;
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), seconds);
  if (error != std::errc() || *end != '\0' || seconds <= 0) return std::nullopt;
  return Clock::from_time_t(static_cast<std::time_t>(seconds));
}

}  // namespace

double stop_margin(double slowest_save, double longest_step, double whole_time) {
  // Twice what was measured, since a file system may be slower the next time.
  const double save = slowest_save > 0 ? 2 * slowest_save : std::min(60.0, whole_time / 10);
  return save + 2 * longest_step + std::min(10.0, whole_time / 20);
}

std::optional<Clock::time_point> end_of_time(double time_limit) {
  std::optional<Clock::time_point> end = slurm_job_end();
  if (time_limit > 0) end = end ? std::min(*end, after(time_limit)) : after(time_limit);
  return end;
}

RunStops::RunStops(std::filesystem::path stop_file, double time_limit, bool first_rank)
    : stop_file_(std::move(stop_file)), first_rank_(first_rank), end_(end_of_time(time_limit)) {
  if (end_) whole_time_ = std::chrono::duration<double>(*end_ - Clock::now()).count();
  std::error_code ignored;
  if (first_rank_) std::filesystem::remove(stop_file_, ignored);  // it stopped the run before
}

StopReason RunStops::wanted(double seconds_to_save) {
  if (StopSignals::came()) return StopReason::kSignal;
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
