// How the page's values come from a run's events.
#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/json_fields.h"
#include "core/record/report_json.h"
#include "launch/report/report_model.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

double seconds_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() ? 0 : number_of(*found);
}

std::optional<double> figure_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end()) return std::nullopt;
  return number_of(*found);
}

/// The value of this name, which is added where there is none.
template <class Value>
Value& named(std::vector<std::pair<std::string, Value>>& all, const std::string& name) {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& each) { return each.first == name; });
  return found != all.end() ? found->second : all.emplace_back(name, Value()).second;
}

/// Drops what lies behind `step`: it was lost, and is made again.
void cut_after(ReportCurve& curve, double step) {
  while (!curve.x.empty() && curve.x.back() > step) {
    curve.x.pop_back();
    curve.y.pop_back();
  }
}

}  // namespace

/// What is added up on the way.
struct ReportBuilder::Sums {
  /// Of the steps of a stage that have a line.
  struct Told {
    double data = 0, forward = 0, backward = 0, optimizer = 0, compute = 0, communication = 0;
    double as_one = 0;  ///< of `compute`, what was told in no parts: a GPU's first step, a graph
    std::int64_t steps = 0;
  };
  std::vector<Told> stages;
  double evaluation = 0, saving = 0, transition = 0, prefix_cache = 0, other_measurements = 0;
  double loss = 0;  ///< since the last evaluation, of as many steps:
  std::int64_t losses = 0;
  std::optional<double> whole;  ///< seconds of the run, once it has ended
};

ReportBuilder::ReportBuilder() : sums_(std::make_unique<Sums>()) {}
ReportBuilder::~ReportBuilder() = default;

void ReportBuilder::hear(const Json& event) {
  const auto kind = event.at("event").get<std::string>();
  if (kind == "resume") {
    hear_resume(event);
    return;
  }
  run_.steps = whole_number<std::int64_t>(event.at("step"));
  run_.epoch = number_of(event.at("epoch"));
  if (kind == "transition") {
    hear_transition(event);
  } else if (kind == "step") {
    hear_step(event);
  } else if (kind == "evaluation") {
    hear_evaluation(event);
  } else if (kind == "skipped") {
    ++run_.skipped;
  } else if (kind == "checkpoint") {
    if (!event.contains("problem")) ++run_.checkpoints;
    sums_->saving += seconds_of(event, "stall_seconds");
  } else if (kind == "prefix-cache") {
    sums_->prefix_cache += seconds_of(event, "seconds");
  } else if (kind == "audit" || kind == "retention") {
    sums_->other_measurements += seconds_of(event, "seconds");
  } else if (kind == "samples") {
    sums_->other_measurements += seconds_of(event, "seconds");
    run_.answers.clear();
    for (const Json& sample : event.at("samples")) {
      run_.answers.push_back({run_.steps, sample.at("prompt").get<std::string>(),
                              sample.at("answer").get<std::string>()});
    }
  } else if (kind == "end") {
    sums_->whole = number_of(event.at("seconds"));
  }
  // A run that was begun from another's checkpoint tells of no transition into its first stage.
  if (!run_.stages.empty() && kind != "checkpoint") run_.stages.back().last_step = run_.steps;
}

void ReportBuilder::hear_transition(const Json& event) {
  ReportStage stage;
  stage.name = event.at("stage").get<std::string>();
  stage.first_step = stage.last_step = run_.steps;
  stage.active_parameters = whole_number_at(event, "active_parameters", std::int64_t{0});
  for (const auto& each : event.at("groups").items()) stage.groups.push_back(each.key());
  sums_->transition += seconds_of(event, "seconds");
  run_.stages.push_back(std::move(stage));
  sums_->stages.emplace_back();
}

void ReportBuilder::hear_step(const Json& event) {
  const auto at = static_cast<double>(run_.steps);
  if (run_.stages.empty()) {
    ReportStage stage;
    stage.name = event.at("stage").get<std::string>();
    stage.first_step = std::max<std::int64_t>(run_.steps - 1, 0);
    stage.last_step = run_.steps;
    run_.stages.push_back(std::move(stage));
    sums_->stages.emplace_back();
  }
  const double loss = number_of(event.at("loss"));
  run_.train_loss.add(at, loss);
  run_.samples_per_second.add(at, number_of(event.at("samples_per_second")));
  for (const auto& [group, rate] : event.at("learning_rates").items()) {
    named(run_.rates, group).add(at, number_of(rate));
  }
  if (std::isfinite(loss)) {
    sums_->loss += loss;
    ++sums_->losses;
  }
  const Json& seconds = event.at("seconds");
  Sums::Told& told = sums_->stages.back();
  ++told.steps;
  told.data += seconds_of(seconds, "data");
  told.compute += seconds_of(seconds, "compute");
  told.communication += seconds_of(seconds, "communication");
  told.forward += seconds_of(seconds, "forward");
  told.backward += seconds_of(seconds, "backward");
  told.optimizer += seconds_of(seconds, "optimizer");
  if (!seconds.contains("forward")) told.as_one += seconds_of(seconds, "compute");
}

void ReportBuilder::hear_evaluation(const Json& event) {
  const auto at = static_cast<double>(run_.steps);
  const auto report = event.get<EvaluationReport>();
  named(run_.validation, "loss").add(at, report.loss);
  for (const Figure& figure : report.figures)
    named(run_.validation, figure.name).add(at, figure.value);
  const double train = sums_->losses > 0 ? sums_->loss / static_cast<double>(sums_->losses)
                                         : std::numeric_limits<double>::quiet_NaN();
  run_.fit.push_back({run_.steps, train, report.loss});
  sums_->loss = 0;
  sums_->losses = 0;
  sums_->evaluation += seconds_of(event, "seconds") + seconds_of(event, "group_seconds");
  if (!run_.stages.empty()) {
    std::int64_t& peak = run_.stages.back().peak_memory_bytes;
    peak = std::max(peak, whole_number_at(event, "peak_memory_bytes", std::int64_t{0}));
  }
  if (event.contains("confusion")) {
    run_.confusion = event.at("confusion").get<std::vector<std::vector<double>>>();
    run_.classes = event.at("classes").get<std::vector<std::string>>();
    run_.confusion_step = run_.steps;
  }
  run_.mistakes.clear();
  if (event.contains("mistakes")) {
    for (const auto& each : event.at("mistakes")) {
      run_.mistakes.push_back({each.at("class").get<std::string>(),
                               each.at("said").get<std::string>(),
                               whole_number<std::int64_t>(each.at("samples"))});
    }
    run_.confusion_step = run_.steps;
  }
  if (!event.contains("groups")) return;
  for (const auto& [name, figures] : event.at("groups").items()) {
    named(run_.groups, name)
        .push_back({run_.steps, figure_of(figures, "moved"), figure_of(figures, "gradient_norm"),
                    figure_of(figures, "time_share")});
  }
}

void ReportBuilder::hear_resume(const Json& event) {
  ReportResume resume;
  resume.step = whole_number<std::int64_t>(event.at("step"));
  resume.ranks = whole_number_at(event, "ranks", 1);
  resume.ranks_before = whole_number_at(event, "ranks_before", 1);
  resume.lost_steps = std::max<std::int64_t>(run_.steps - resume.step, 0);
  run_.resumes.push_back(resume);
  run_.steps = resume.step;
  const auto step = static_cast<double>(resume.step);
  cut_after(run_.train_loss, step);
  cut_after(run_.samples_per_second, step);
  for (auto& [group, curve] : run_.rates) cut_after(curve, step);
  for (auto& [name, curve] : run_.validation) cut_after(curve, step);
  const auto later = [&](const auto& point) { return point.step > resume.step; };
  std::erase_if(run_.fit, later);
  for (auto& [name, points] : run_.groups) std::erase_if(points, later);
  while (run_.stages.size() > 1 && run_.stages.back().first_step > resume.step) {
    run_.stages.pop_back();
    sums_->stages.pop_back();
  }
  if (!run_.stages.empty()) run_.stages.back().last_step = resume.step;
}

ReportRun ReportBuilder::run() const {
  ReportRun run = run_;
  Sums::Told all;
  double rest = 0;
  for (std::size_t i = 0; i < sums_->stages.size(); ++i) {
    const Sums::Told& told = sums_->stages[i];
    if (told.steps == 0) continue;
    // Of steps that have no line (output.log-every), those that have one stand for them.
    const auto steps = static_cast<double>(run.stages[i].last_step - run.stages[i].first_step);
    const double each = std::max(1.0, steps / static_cast<double>(told.steps));
    all.data += each * told.data;
    all.communication += each * told.communication;
    all.compute += each * told.compute;
    all.forward += each * told.forward;
    all.backward += each * told.backward;
    all.optimizer += each * told.optimizer;
    all.as_one += each * told.as_one;
    rest += each * std::max(0.0, told.compute - told.as_one - told.forward - told.backward -
                                     told.optimizer);
  }
  const double steps_seconds = all.data + all.compute + all.communication;
  run.times.emplace_back("data", all.data);
  if (all.forward > 0) {
    run.times.insert(run.times.end(), {{"forward", all.forward},
                                       {"backward", all.backward},
                                       {"optimizer", all.optimizer},
                                       {"rest of steps", rest}});
  }
  if (all.as_one > 0) run.times.emplace_back("forward, backward, optimizer as one", all.as_one);
  run.times.insert(run.times.end(), {{"exposed communication", all.communication},
                                     {"evaluation", sums_->evaluation},
                                     {"saving", sums_->saving},
                                     {"transition", sums_->transition},
                                     {"audits and other measurements", sums_->other_measurements}});
  const double told = steps_seconds + sums_->evaluation + sums_->saving + sums_->transition +
                      sums_->prefix_cache + sums_->other_measurements;
  run.seconds = sums_->whole.value_or(told);
  if (sums_->prefix_cache > 0) run.times.emplace_back("prefix cache", sums_->prefix_cache);
  if (run.seconds > told) run.times.emplace_back("other", run.seconds - told);
  return run;
}

}  // namespace thaw
