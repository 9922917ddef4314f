#include "launch/kept_run/run_story.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/input_text.h"
#include "core/base/json_fields.h"
#include "core/base/json_text.h"
#include "core/record/report_json.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

double median_of(std::vector<double>& values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 != 0) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

/// Of steps, samples or bytes: no more than can be added up over all lines of a log.
std::int64_t count_of(const Json& value) {
  constexpr std::int64_t kMost = 10'000'000'000'000;
  const auto count = whole_if_any<std::int64_t>(value);
  if (!count || *count < 0 || *count > kMost) {
    throw InputError(fmt::format("{} is no count", value.dump()));
  }
  return *count;
}

template <class Report>
Report placed(const Json& event) {
  Report report;
  report.step = count_of(event.at("step"));
  report.epoch = number_of(event.at("epoch"));
  report.stage = event.at("stage").get<std::string>();
  return report;
}

std::vector<std::pair<std::string, double>> rates_of(const Json& groups) {
  std::vector<std::pair<std::string, double>> rates;
  for (const auto& [group, rate] : groups.items()) rates.emplace_back(group, number_of(rate));
  return rates;
}

/// Makes a story of events.
class StoryTeller {
 public:
  void hear(const Json& event) {
    const auto kind = event.at("event").get<std::string>();
    if (kind == "transition") {
      hear_transition(event);
    } else if (kind == "step") {
      hear_step(event);
    } else if (kind == "skipped") {
      ++story_.skipped;
      reach(stage_of(event), event);
    } else if (kind == "evaluation") {
      hear_evaluation(event);
    } else if (kind == "checkpoint") {
      hear_checkpoint(event);
    } else if (kind == "resume") {
      hear_resume(event);
    } else if (kind == "end") {
      story_.ended = true;
      story_.steps = count_of(event.at("step"));
      story_.epoch = number_of(event.at("epoch"));
      ended_seconds_ = event.at("seconds").get<double>();
    }
  }

  RunStory story() {
    for (std::size_t i = 0; i < step_seconds_.size(); ++i) {
      story_.stages[i].median_step_seconds = median_of(step_seconds_[i]);
    }
    story_.seconds = ended_seconds_.value_or(told_seconds_);
    return std::move(story_);
  }

 private:
  StoryStage& add_stage(const Json& event) {
    StoryStage stage;
    stage.name = event.at("stage").get<std::string>();
    stage.first_step = stage.last_step = count_of(event.at("step"));
    stage.first_epoch = stage.last_epoch = number_of(event.at("epoch"));
    stage.index = story_.stages.empty() ? 0 : story_.stages.back().index + 1;
    step_seconds_.emplace_back();
    return story_.stages.emplace_back(std::move(stage));
  }

  /// The stage that goes on: a run that was begun from another's checkpoint tells of no transition
  /// into the stage that it is in the midst of.
  StoryStage& stage_of(const Json& event) {
    const auto name = event.at("stage").get<std::string>();
    if (!story_.stages.empty() && story_.stages.back().name == name) return story_.stages.back();
    return add_stage(event);
  }

  void reach(StoryStage& stage, const Json& event) {
    stage.last_step = story_.steps = count_of(event.at("step"));
    stage.last_epoch = story_.epoch = number_of(event.at("epoch"));
  }

  void hear_transition(const Json& event) {
    StoryStage& stage = add_stage(event);
    stage.index = whole_number<std::size_t>(event.at("stage_index"));
    stage.groups = rates_of(event.at("groups"));
    stage.active_parameters = whole_number_at(event, "active_parameters", std::int64_t{0});
    stage.backward_cut = event.value("backward_cut", std::string());
    stage.transition_seconds = event.value("seconds", 0.0);
    told_seconds_ += stage.transition_seconds;
    story_.steps = stage.first_step;
    story_.epoch = stage.first_epoch;
  }

  void hear_step(const Json& event) {
    StoryStage& stage = stage_of(event);
    if (stage.told_steps == 0 && stage.groups.empty()) {
      stage.first_step = std::max<std::int64_t>(count_of(event.at("step")) - 1, 0);
    }
    if (stage.groups.empty()) stage.groups = rates_of(event.at("learning_rates"));
    reach(stage, event);
    const Json& seconds = event.at("seconds");
    const double total = number_of(seconds.at("total"));
    ++stage.told_steps;
    stage.samples += count_of(event.at("samples"));
    stage.seconds += total;
    stage.data_seconds += number_of(seconds.at("data"));
    stage.compute_seconds += number_of(seconds.at("compute"));
    stage.communication_seconds += number_of(seconds.at("communication"));
    stage.bytes_reduced = count_of(event.at("bytes_reduced"));
    step_seconds_.back().push_back(total);
    told_seconds_ += total;
    story_.train_loss = number_of(event.at("loss"));
    if (!std::isfinite(story_.train_loss)) return;
    stage.loss_sum += story_.train_loss;
    ++stage.losses;
  }

  void hear_evaluation(const Json& event) {
    auto report = event.get<EvaluationReport>();
    report.seconds = event.value("seconds", 0.0);
    report.best = event.value("best", false);
    told_seconds_ += report.seconds;
    story_.evaluations.push_back(std::move(report));
  }

  void hear_checkpoint(const Json& event) {
    auto report = placed<CheckpointReport>(event);
    report.transition = event.value("transition", false);
    report.path = event.value("path", std::string());
    report.problem = event.value("problem", std::string());
    report.bytes = whole_number_at(event, "bytes", std::int64_t{0});
    report.seconds = event.value("seconds", 0.0);
    report.stall_seconds = event.value("stall_seconds", 0.0);
    story_.checkpoints.push_back(std::move(report));
  }

  void hear_resume(const Json& event) {
    auto report = placed<ResumeReport>(event);
    report.path = event.value("path", std::string());
    report.ranks = whole_number_at(event, "ranks", 1);
    report.ranks_before = whole_number_at(event, "ranks_before", 1);
    report.passed_over = event.value("passed_over", std::vector<std::string>());
    story_.steps = report.step;
    story_.epoch = report.epoch;
    story_.resumes.push_back(std::move(report));
  }

  RunStory story_;
  std::vector<std::vector<double>> step_seconds_;  ///< of each stage
  double told_seconds_ = 0;
  std::optional<double> ended_seconds_;
};

}  // namespace

const EvaluationReport* RunStory::best() const {
  const auto found = std::find_if(evaluations.rbegin(), evaluations.rend(),
                                  [](const EvaluationReport& each) { return each.best; });
  return found != evaluations.rend() ? &*found : nullptr;
}

void each_event(const RunFolder& folder, const std::function<void(const Json&)>& hear) {
  folder.require_run();
  const std::string path = folder.metrics().string();
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return;  // not one event yet
  InputLines file(path);
  for (std::string line; file.next(line);) {
    if (line.empty() || !file.ended()) continue;
    const auto fail = [&](const std::exception& error) {
      throw InputError(fmt::format("{}:{}: is no event of a run that this version understands: {}",
                                   path, file.number(), error.what()));
    };
    try {
      hear(parse_json<Json>(line));
    } catch (const Json::exception& error) {
      fail(error);
    } catch (const InputError& error) {
      fail(error);
    }
  }
}

RunStory read_story(const RunFolder& folder) {
  StoryTeller teller;
  each_event(folder, [&](const Json& event) { teller.hear(event); });
  return teller.story();
}

}  // namespace thaw
