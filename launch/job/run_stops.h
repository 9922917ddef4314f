#pragma once

#include <chrono>
#include <filesystem>
#include <optional>

#include "core/base/stopwatch.h"
#include "core/step/stop_request.h"

namespace thaw {

/// Seconds before its end at which a run must stop to be saved in time, from what saving took at
/// most so far (0: not known yet), the longest time between two steps so far (evaluations
/// included), and the run's whole time. Pure.
double stop_margin(double slowest_save, double longest_step, double whole_time);

/// Seconds until Slurm ends the job that this process runs in (SLURM_JOB_END_TIME); nothing outside
/// of one, or where it does not say. Not above 0: what it says is left over from another job.
std::optional<double> seconds_to_slurm_end();

/// The time at which this process is to be over: `time_limit` seconds from now, or the end of the
/// Slurm job that it runs in unless that has passed, whatever is sooner; 0 and none: never. By the
/// clock that nobody sets.
std::optional<std::chrono::steady_clock::time_point> end_of_time(double time_limit);

/// What may stop a run early: signals, on any rank; on rank 0, the file `stop` in the run folder
/// (`touch RUN/stop`) and the end of its time.
class RunStops final : public StopRequest {
 public:
  RunStops(std::filesystem::path stop_file, double time_limit, bool first_rank);

  StopReason wanted(double seconds_to_save) override;

 private:
  /// Whether somebody has made the stop file; looks every fifth of a second at most, and removes
  /// it.
  bool file_came();
  /// Whether what is left of the time is what a step and a checkpoint may take.
  bool time_is_up(double seconds_to_save);

  std::filesystem::path stop_file_;
  bool first_rank_;
  std::optional<std::chrono::steady_clock::time_point> end_;
  double whole_time_ = 0;
  Stopwatch since_step_, since_look_;
  double longest_step_ = 0;
  bool file_came_ = false;
  bool said_ = false;  ///< that a signal has come
};

}  // namespace thaw
