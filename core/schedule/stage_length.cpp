#include "core/schedule/stage_length.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace thaw {
namespace {

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

/// Steps that consume at least `samples` samples from `cursor` on.
std::int64_t steps_to_consume(std::int64_t samples, std::int64_t cursor, std::int64_t train_samples,
                              std::int64_t global_batch) {
  const std::int64_t left_in_epoch = train_samples - cursor % train_samples;
  if (samples <= left_in_epoch) return divide_up(samples, global_batch);
  const std::int64_t rest = samples - left_in_epoch;
  return divide_up(left_in_epoch, global_batch) +
         rest / train_samples * divide_up(train_samples, global_batch) +
         divide_up(rest % train_samples, global_batch);
}

}  // namespace

std::int64_t samples_of_epochs(double epochs, std::int64_t train_samples) {
  return std::llround(epochs * static_cast<double>(train_samples));
}

std::int64_t advance_cursor(std::int64_t cursor, std::int64_t steps, std::int64_t train_samples,
                            std::int64_t global_batch) {
  const std::int64_t left_in_epoch = train_samples - cursor % train_samples;
  const std::int64_t to_end = divide_up(left_in_epoch, global_batch);
  if (steps < to_end) return cursor + steps * global_batch;
  const std::int64_t an_epoch = divide_up(train_samples, global_batch);
  const std::int64_t rest = steps - to_end;
  return cursor + left_in_epoch + rest / an_epoch * train_samples + rest % an_epoch * global_batch;
}

std::int64_t steps_of_stage(const EndCondition& until, std::int64_t start_cursor,
                            std::int64_t train_samples, std::int64_t global_batch) {
  const auto steps_of = [&](const EndCondition& condition) {
    return steps_of_stage(condition, start_cursor, train_samples, global_batch);
  };
  std::int64_t steps = 0;
  switch (until.kind) {
    case EndCondition::Kind::kSteps:
      steps = std::llround(until.amount);
      break;
    case EndCondition::Kind::kEpochs:
      steps = steps_to_consume(samples_of_epochs(until.amount, train_samples), start_cursor,
                               train_samples, global_batch);
      break;
    case EndCondition::Kind::kAny:
      steps = std::numeric_limits<std::int64_t>::max();
      for (const EndCondition& each : until.conditions) steps = std::min(steps, steps_of(each));
      break;
    case EndCondition::Kind::kAll:
      for (const EndCondition& each : until.conditions) steps = std::max(steps, steps_of(each));
      break;
  }
  return std::max<std::int64_t>(steps, 1);
}

bool stage_ended(const EndCondition& until, const StageProgress& progress,
                 std::int64_t train_samples) {
  const auto ended = [&](const EndCondition& condition) {
    return stage_ended(condition, progress, train_samples);
  };
  if (progress.steps < 1) return false;
  switch (until.kind) {
    case EndCondition::Kind::kSteps:
      return progress.steps >= std::llround(until.amount);
    case EndCondition::Kind::kEpochs:
      return progress.samples >= samples_of_epochs(until.amount, train_samples);
    case EndCondition::Kind::kAny:
      return std::any_of(until.conditions.begin(), until.conditions.end(), ended);
    case EndCondition::Kind::kAll:
      return std::all_of(until.conditions.begin(), until.conditions.end(), ended);
  }
  return false;
}

}  // namespace thaw
