#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace thaw {

/// What the line of a training says. What is not known is left out.
struct ProgressFacts {
  std::string stage;
  std::string activity = {};   ///< between two steps: "evaluating", "saving"; "": it trains
  std::int64_t step = 0;       ///< of the run
  std::int64_t run_steps = 0;  ///< of the whole run; 0: nobody knows
  bool may_be_fewer = false;   ///< a stage may end before its most steps
  double epoch = 0;
  std::optional<double> train_loss = {}, validation_loss = {};
  double per_second = 0;  ///< 0: not known
  std::string unit = "samples";
  std::optional<double> stage_seconds_left = {}, run_seconds_left = {};
};

/// It in at most `columns` columns (at least 20), the last of a screen left free, so that no
/// terminal wraps it: words are shortened first, then what matters least is left out, and last of
/// all the stage's name is cut. `colour`: with the escape sequences of terminals, which take no
/// columns. Pure.
std::string progress_line(const ProgressFacts& facts, std::size_t columns, bool colour = false);

/// Predicts how long steps will take from how long they took in this process, evaluations and
/// saving between them included: what a resumed run had taken before does not count.
class Pace {
 public:
  /// The stage, or the process, begins at the run's step `step`, `seconds` on some clock.
  void begin(std::int64_t step, double seconds);
  /// Nothing has begun yet.
  bool unknown() const { return !begun_; }
  /// A step is done.
  void done(std::int64_t step, double seconds);
  /// Of so many further steps; nothing before the first is done.
  std::optional<double> seconds_of(double steps) const;

 private:
  std::int64_t first_ = 0, steps_ = 0;
  double begin_ = 0, seconds_ = 0;
  bool begun_ = false;
};

}  // namespace thaw
