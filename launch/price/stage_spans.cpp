#include "launch/price/stage_spans.h"

#include "core/schedule/end_condition.h"
#include "core/schedule/schedule.h"
#include "core/schedule/stage_length.h"

namespace thaw {
namespace {

/// As the trainer's: every so many steps, or at ends of epochs, and at the stage's end.
std::int64_t evaluations_of(const StageSpan& span, const SpanQuestion& question) {
  if (span.steps == 0) return 0;
  if (question.evaluate_every > 0) return (span.steps - 1) / question.evaluate_every + 1;
  const std::int64_t end =
      advance_cursor(span.cursor, span.steps, question.samples, question.batch);
  const std::int64_t epochs = end / question.samples - span.cursor / question.samples;
  return epochs + (end % question.samples == 0 ? 0 : 1);
}

}  // namespace

std::vector<StageSpan> stage_spans(const Schedule& schedule, const SpanQuestion& question) {
  std::vector<StageSpan> spans;
  std::int64_t cursor = 0;
  for (const Stage& stage : schedule.stages) {
    StageSpan span{.cursor = cursor};
    span.steps = steps_of_stage(stage.until, cursor, question.samples, question.batch).value_or(0);
    span.may_be_fewer = !length_is_known(stage.until);
    span.evaluations = evaluations_of(span, question);
    cursor = advance_cursor(cursor, span.steps, question.samples, question.batch);
    spans.push_back(span);
  }
  return spans;
}

}  // namespace thaw
