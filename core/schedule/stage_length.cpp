#include "core/schedule/stage_length.h"

#include <algorithm>
#include <cmath>

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

std::optional<std::int64_t> steps_of_stage(const EndCondition& until, std::int64_t start_cursor,
                                           std::int64_t train_samples, std::int64_t global_batch) {
  using Kind = EndCondition::Kind;
  std::optional<std::int64_t> steps;
  switch (until.kind) {
    case Kind::kSteps:
    case Kind::kCurveFinished:
      steps = std::llround(until.amount);
      break;
    case Kind::kEpochs:
      steps = steps_to_consume(samples_of_epochs(until.amount, train_samples), start_cursor,
                               train_samples, global_batch);
      break;
    case Kind::kAny:
      for (const EndCondition& each : until.conditions) {
        const auto its = steps_of_stage(each, start_cursor, train_samples, global_batch);
        if (its) steps = std::min(steps.value_or(*its), *its);
      }
      break;
    case Kind::kAll:
      steps = 0;
      for (const EndCondition& each : until.conditions) {
        const auto its = steps_of_stage(each, start_cursor, train_samples, global_batch);
        if (!its) return std::nullopt;
        steps = std::max(*steps, *its);
      }
      break;
    case Kind::kSeconds:
    case Kind::kPlateau:
    case Kind::kThreshold:
    case Kind::kGradientSignal:
      return std::nullopt;
  }
  if (steps) steps = std::max<std::int64_t>(*steps, 1);
  return steps;
}

bool length_is_known(const EndCondition& until) {
  using Kind = EndCondition::Kind;
  if (until.kind == Kind::kAny || until.kind == Kind::kAll) {
    return std::all_of(until.conditions.begin(), until.conditions.end(), length_is_known);
  }
  return until.kind == Kind::kEpochs || until.kind == Kind::kSteps;
}

}  // namespace thaw
