// `curve-finished`: the learning rates' curve, of a length of its own, has come to its end.
#include <fmt/format.h>

#include "core/schedule/triggers/trigger.h"

namespace thaw {
namespace {

class CurveFinished final : public Trigger {
 public:
  explicit CurveFinished(std::int64_t curve_steps) : curve_steps_(curve_steps) {}

  std::string_view name() const override { return "curve-finished"; }
  std::string toml() const override { return "true"; }
  std::string plain() const override {
    return fmt::format("end of the curve ({:g} steps)", static_cast<double>(curve_steps_));
  }
  bool holds(const ScheduleState& stage, const TriggerState& /*own*/,
             std::int64_t /*train_samples*/) const override {
    return stage.curve_start + stage.progress.steps >= curve_steps_;
  }
  /// Not exact: stages before may have made a part of the curve.
  std::optional<std::int64_t> steps(const StageStart& /*start*/) const override {
    return curve_steps_;
  }

 private:
  std::int64_t curve_steps_;  ///< the stage's `curve.steps`
};

std::optional<ReadTrigger> read_curve_finished(const Setting& value, const std::string& subject,
                                               const StageFacts& stage, Problems& problems) {
  const bool wanted = as_boolean(value).value_or(false);
  if (wanted && stage.curve.steps > 0) {
    return ReadTrigger{{std::make_shared<CurveFinished>(stage.curve.steps)}};
  }
  problems.add(value.where, subject,
               wanted ? "the curve takes its length from the end of the stage; give curve.steps"
                      : "expected true, got " + describe(value));
  return {};
}

}  // namespace

TriggerKind curve_finished_trigger() {
  return {"curve-finished", /*is_length=*/false, read_curve_finished};
}

}  // namespace thaw
