#include "launch/report/report_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/json_fields.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostJsonPoints = 600;

Json curve_json(const ReportCurve& curve) {
  const ReportCurve few = thinned(curve, kMostJsonPoints);
  Json y = Json::array();
  for (const double value : few.y) y.push_back(json_number(value));
  return {{"x", few.x}, {"y", y}};
}

Json optional_json(const std::optional<double>& value) {
  return value ? json_number(*value) : Json(nullptr);
}

const char* name_of(Fit fit) {
  switch (fit) {
    case Fit::kTooEarly:
      return "too early to tell";
    case Fit::kBroken:
      return "broken";
    case Fit::kImproving:
      return "improving";
    case Fit::kLevelled:
      return "levelled off";
    case Fit::kOverfitting:
      return "overfitting";
    case Fit::kWorsening:
      return "getting worse";
  }
  return "";
}

Json stages_json(const ReportRun& run) {
  Json stages = Json::array();
  for (const ReportStage& stage : run.stages) {
    stages.push_back({{"name", stage.name},
                      {"first_step", stage.first_step},
                      {"last_step", stage.last_step},
                      {"groups", stage.groups},
                      {"active_parameters", stage.active_parameters},
                      {"peak_memory_bytes", stage.peak_memory_bytes}});
  }
  return stages;
}

Json groups_json(const ReportRun& run) {
  Json groups = Json::array();
  for (const auto& [name, points] : run.groups) {
    Json all = Json::array();
    for (const GroupPoint& point : points) {
      all.push_back({{"step", point.step},
                     {"moved", optional_json(point.moved)},
                     {"gradient_norm", optional_json(point.gradient_norm)},
                     {"time_share", optional_json(point.time_share)}});
    }
    groups.push_back({{"name", name}, {"points", all}});
  }
  return groups;
}

}  // namespace

ReportCurve thinned(const ReportCurve& curve, std::size_t most) {
  ReportCurve finite;
  for (std::size_t i = 0; i < curve.x.size(); ++i) {
    if (std::isfinite(curve.y[i])) finite.add(curve.x[i], curve.y[i]);
  }
  const std::size_t count = finite.x.size();
  if (count <= most) return finite;
  ReportCurve few;
  few.add(finite.x.front(), finite.y.front());
  const std::size_t stretches = (most - 2) / 2;
  for (std::size_t s = 0; s < stretches; ++s) {
    const std::size_t first = 1 + s * (count - 2) / stretches;
    const std::size_t end = 1 + (s + 1) * (count - 2) / stretches;
    const auto from = finite.y.begin() + static_cast<std::ptrdiff_t>(first);
    const auto to = finite.y.begin() + static_cast<std::ptrdiff_t>(end);
    if (from == to) continue;
    const auto [low, high] = std::minmax_element(from, to);
    for (const auto at : {std::min(low, high), std::max(low, high)}) {
      const auto index = static_cast<std::size_t>(at - finite.y.begin());
      if (few.x.back() != finite.x[index]) few.add(finite.x[index], finite.y[index]);
    }
  }
  few.add(finite.x.back(), finite.y.back());
  return few;
}

Json report_json(const ReportRun& run) {
  const FitVerdict fit = judge_fit(run.fit);
  Json json{
      {"name", run.name},
      {"folder", run.folder},
      {"state", run.state},
      {"problems", run.problems},
      {"steps", run.steps},
      {"epoch", json_number(run.epoch)},
      {"seconds", json_number(run.seconds)},
      {"fit", {{"verdict", name_of(fit.fit)}, {"best_step", fit.best_step}, {"words", fit.words}}},
      {"stages", stages_json(run)},
      {"train_loss", curve_json(run.train_loss)},
      {"samples_per_second", curve_json(run.samples_per_second)},
      {"validation", Json::object()},
      {"learning_rates", Json::object()},
      {"groups", groups_json(run)},
      {"times", Json::object()},
      {"resumes", Json::array()},
      {"checkpoints", run.checkpoints},
      {"skipped", run.skipped},
      {"answers", Json::array()},
      {"versions", run.versions}};
  for (const auto& [name, curve] : run.validation) json["validation"][name] = curve_json(curve);
  for (const auto& [group, curve] : run.rates) json["learning_rates"][group] = curve_json(curve);
  for (const auto& [what, seconds] : run.times) json["times"][what] = json_number(seconds);
  for (const ReportResume& resume : run.resumes) {
    json["resumes"].push_back({{"step", resume.step},
                               {"ranks", resume.ranks},
                               {"ranks_before", resume.ranks_before},
                               {"lost_steps", resume.lost_steps}});
  }
  for (const ReportAnswer& answer : run.answers) {
    json["answers"].push_back(
        {{"step", answer.step}, {"prompt", answer.prompt}, {"answer", answer.answer}});
  }
  if (!run.confusion.empty()) {
    json["confusion"] = {
        {"step", run.confusion_step}, {"classes", run.classes}, {"counts", run.confusion}};
  }
  for (const ReportMistake& each : run.mistakes) {
    json["mistakes"].push_back(
        {{"class", each.of}, {"said", each.said}, {"samples", each.samples}});
  }
  return json;
}

}  // namespace thaw
