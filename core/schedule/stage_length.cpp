#include "core/schedule/stage_length.h"

#include <cmath>

namespace thaw {
namespace {

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

}  // namespace

std::int64_t samples_of_epochs(double epochs, std::int64_t train_samples) {
  return std::llround(epochs * static_cast<double>(train_samples));
}

std::int64_t steps_to_consume(std::int64_t samples, const StageStart& start) {
  const std::int64_t left_in_epoch = start.train_samples - start.cursor % start.train_samples;
  if (samples <= left_in_epoch) return divide_up(samples, start.batch);
  const std::int64_t rest = samples - left_in_epoch;
  return divide_up(left_in_epoch, start.batch) +
         rest / start.train_samples * divide_up(start.train_samples, start.batch) +
         divide_up(rest % start.train_samples, start.batch);
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

}  // namespace thaw
