// `samples`: so many samples have been consumed since the stage's start. Like `epochs`, it ends
// with the first step at which they have; batches never cross the end of an epoch.
#include <fmt/format.h>

#include "core/schedule/triggers/reading.h"
#include "core/schedule/triggers/trigger.h"

namespace thaw {
namespace {

class Samples final : public Trigger {
 public:
  explicit Samples(std::int64_t samples) : samples_(samples) {}

  std::string_view name() const override { return "samples"; }
  std::string toml() const override { return fmt::format("{}", samples_); }
  std::string plain() const override {
    return fmt::format("{} sample{}", samples_, samples_ == 1 ? "" : "s");
  }
  bool holds(const ScheduleState& stage, const TriggerState& /*own*/,
             std::int64_t /*train_samples*/) const override {
    return stage.progress.samples >= samples_;
  }
  std::optional<std::int64_t> steps(const StageStart& start) const override {
    return steps_to_consume(samples_, start);
  }
  bool length_is_known() const override { return true; }
  std::optional<double> length() const override { return static_cast<double>(samples_); }

 private:
  std::int64_t samples_;
};

/// With the bounds of a number of steps: no run has more than 1e15 samples.
std::optional<ReadTrigger> read_samples(const Setting& value, const std::string& subject,
                                        const StageFacts& /*stage*/, Problems& problems) {
  const auto samples = read_length("stage-steps", value, subject, problems);
  if (!samples) return {};
  return ReadTrigger{{std::make_shared<Samples>(std::get<std::int64_t>(*samples))}};
}

}  // namespace

TriggerKind samples_trigger() { return {"samples", /*is_length=*/true, read_samples}; }

}  // namespace thaw
