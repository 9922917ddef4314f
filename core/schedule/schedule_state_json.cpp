#include "core/schedule/schedule_state_json.h"

#include "core/base/json_fields.h"

namespace thaw {
namespace {

void describe(auto fields, Described<StageProgress> auto& progress) {
  fields("steps", progress.steps);
  fields("samples", progress.samples);
}

void describe(auto fields, Described<TriggerState> auto& state) {
  fields.exact("best", state.best);
  fields.exact("last", state.last);
  fields("count", state.count);
  fields.exact("sum", state.sum);
  fields("steps", state.steps);
}

void describe(auto fields, Described<ScheduleState> auto& state) {
  fields("stage", state.stage);
  fields("running", state.running);
  fields("ended", state.ended);
  fields("progress", state.progress);
  fields.exact("seconds", state.seconds);
  fields.exact("loss_sum", state.loss_sum);
  fields("loss_samples", state.loss_samples);
  fields.exact("best", state.best);
  fields("triggers", state.triggers);
  fields("curve_start", state.curve_start);
  fields("curve_length", state.curve_length);
  fields("segment", state.segment);
  fields("segment_progress", state.segment_progress);
  fields("active", state.active);
  fields("next_active", state.next_active);
  fields("first_active", state.first_active);
  fields("steps_since_thawed", state.steps_since_thawed);
  fields("signals", state.signals);
}

}  // namespace

THAW_JSON_BY_DESCRIPTION(StageProgress)
THAW_JSON_BY_DESCRIPTION(TriggerState)
THAW_JSON_BY_DESCRIPTION(ScheduleState)

}  // namespace thaw
