// The triggers of a length: so many epochs, steps or seconds have passed since the stage's start.
#include <fmt/format.h>

#include <cmath>

#include "core/config/toml_text.h"
#include "core/schedule/triggers/reading.h"
#include "core/schedule/triggers/trigger.h"

namespace thaw {
namespace {

constexpr double kMostSeconds = 1e9;

/// Steps of batches that never cross the end of an epoch, so an epoch's last may be short.
class Epochs final : public Trigger {
 public:
  explicit Epochs(double epochs) : epochs_(epochs) {}

  std::string_view name() const override { return "epochs"; }
  std::string toml() const override { return fmt::format("{}", epochs_); }
  std::string plain() const override {
    return fmt::format("{:g} epoch{}", epochs_, epochs_ == 1 ? "" : "s");
  }
  bool holds(const ScheduleState& stage, const TriggerState& /*own*/,
             std::int64_t train_samples) const override {
    return stage.progress.samples >= samples_of_epochs(epochs_, train_samples);
  }
  std::optional<std::int64_t> steps(const StageStart& start) const override {
    return steps_to_consume(samples_of_epochs(epochs_, start.train_samples), start);
  }
  bool length_is_known() const override { return true; }
  std::optional<double> length() const override { return epochs_; }
  std::string objection(const StageStart& start) const override {
    if (epochs_ * static_cast<double>(start.train_samples) > kMostSamples) {
      return fmt::format("{} epochs are more than 1e15 samples", epochs_);
    }
    if (samples_of_epochs(epochs_, start.train_samples) >= 1) return "";
    return fmt::format("{} epochs of {} training samples are less than one sample", epochs_,
                       start.train_samples);
  }

 private:
  double epochs_;  ///< may be a fraction
};

class Steps final : public Trigger {
 public:
  explicit Steps(std::int64_t steps) : steps_(steps) {}

  std::string_view name() const override { return "steps"; }
  std::string toml() const override { return fmt::format("{}", steps_); }
  std::string plain() const override {
    return fmt::format("{:g} step{}", static_cast<double>(steps_), steps_ == 1 ? "" : "s");
  }
  bool holds(const ScheduleState& stage, const TriggerState& /*own*/,
             std::int64_t /*train_samples*/) const override {
    return stage.progress.steps >= steps_;
  }
  std::optional<std::int64_t> steps(const StageStart& /*start*/) const override { return steps_; }
  bool length_is_known() const override { return true; }
  std::optional<double> length() const override { return static_cast<double>(steps_); }
  std::string objection(const StageStart& start) const override {
    const auto steps = static_cast<double>(steps_);
    if (steps * static_cast<double>(start.batch) <= kMostSamples) return "";
    return fmt::format("{} steps are more than 1e15 samples", steps);
  }

 private:
  std::int64_t steps_;
};

/// By rank 0's clock, summed over resumes.
class Seconds final : public Trigger {
 public:
  explicit Seconds(double seconds) : seconds_(seconds) {}

  std::string_view name() const override { return "seconds"; }
  std::string toml() const override { return toml_text(seconds_); }
  std::string plain() const override { return fmt::format("{:g} s", seconds_); }
  void add_needs(TriggerNeeds& needs) const override { needs.seconds = true; }
  bool holds(const ScheduleState& stage, const TriggerState& /*own*/,
             std::int64_t /*train_samples*/) const override {
    return stage.seconds >= seconds_;
  }
  std::optional<double> length() const override { return seconds_; }

 private:
  double seconds_;
};

std::optional<ReadTrigger> read_epochs(const Setting& value, const std::string& subject,
                                       const StageFacts& /*stage*/, Problems& problems) {
  const auto epochs = read_length("stage-epochs", value, subject, problems);
  if (!epochs) return {};
  return ReadTrigger{{std::make_shared<Epochs>(std::get<double>(*epochs))}};
}

std::optional<ReadTrigger> read_steps(const Setting& value, const std::string& subject,
                                      const StageFacts& /*stage*/, Problems& problems) {
  const auto steps = read_length("stage-steps", value, subject, problems);
  if (!steps) return {};
  return ReadTrigger{{std::make_shared<Steps>(std::get<std::int64_t>(*steps))}};
}

std::optional<ReadTrigger> read_seconds(const Setting& value, const std::string& subject,
                                        const StageFacts& /*stage*/, Problems& problems) {
  const auto seconds = as_number(value);
  if (seconds && *seconds > 0 && *seconds <= kMostSeconds) {
    return ReadTrigger{{std::make_shared<Seconds>(*seconds)}};
  }
  problems.add(value.where, subject,
               seconds ? fmt::format("{} is out of range: above 0 and at most 1000000000",
                                     toml_text(*seconds))
                       : "expected a number, got " + describe(value));
  return {};
}

}  // namespace

TriggerKind epochs_trigger() { return {"epochs", /*is_length=*/true, read_epochs}; }
TriggerKind steps_trigger() { return {"steps", /*is_length=*/true, read_steps}; }
TriggerKind seconds_trigger() { return {"seconds", /*is_length=*/true, read_seconds}; }

EndCondition after_epochs(double epochs) { return {.trigger = {std::make_shared<Epochs>(epochs)}}; }
EndCondition after_steps(std::int64_t steps) {
  return {.trigger = {std::make_shared<Steps>(steps)}};
}
EndCondition after_seconds(double seconds) {
  return {.trigger = {std::make_shared<Seconds>(seconds)}};
}

}  // namespace thaw
