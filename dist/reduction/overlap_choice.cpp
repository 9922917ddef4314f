#include "dist/reduction/overlap_choice.h"

#include "core/base/numbers.h"

namespace thaw {

namespace {

// The first steps of a stage touch new memory and tell nothing.
constexpr std::size_t kWarmUpSteps = 2;
constexpr std::size_t kTrialSteps = 10;

}  // namespace

OverlapChoice::OverlapChoice(Overlap wanted, std::size_t buckets)
    : is_open_(wanted == Overlap::kAuto && buckets > 1),
      is_on_(wanted == Overlap::kOn && buckets > 1) {}

bool OverlapChoice::on() const { return is_open_ ? steps_ % 2 == 1 : is_on_; }

void OverlapChoice::record(double seconds) {
  if (!is_open_) return;
  if (steps_ >= kWarmUpSteps) seconds_[on() ? 1 : 0].push_back(seconds);
  ++steps_;
}

bool OverlapChoice::wants_verdict() const {
  return is_open_ && steps_ == kWarmUpSteps + kTrialSteps;
}

std::array<double, 2> OverlapChoice::trial_seconds() const {
  return {median(seconds_[0]), median(seconds_[1])};
}

void OverlapChoice::decide(const std::array<double, 2>& seconds_of_all_ranks) {
  is_open_ = false;
  is_on_ = seconds_of_all_ranks[1] < seconds_of_all_ranks[0];
}

}  // namespace thaw
