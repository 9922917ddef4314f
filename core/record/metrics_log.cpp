#include "core/record/metrics_log.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_fields.h"
#include "core/base/json_text.h"
#include "core/base/whole_file.h"
#include "core/record/report_json.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return json_number(value); }

/// What each line begins with: what happened, and where in the run.
template <typename Report>
Json line_of(const char* event, const Report& report) {
  return {{"event", event},
          {"step", report.step},
          {"epoch", number(report.epoch)},
          {"stage", report.stage}};
}

Json forgetting_json(const ForgettingReport& report) {
  Json groups = Json::object();
  for (const ForgettingReport::Group& group : report.groups) {
    groups[group.name] = {{"distance", number(group.distance)},
                          {"similarity", number(group.similarity)}};
  }
  return {{"split", report.split},
          {"loss", number(report.loss)},
          {key_of_metric(report.figure.name), number(report.figure.value)},
          {"samples", report.samples},
          {"groups", groups}};
}

/// What is not known is left out.
Json groups_json(const std::vector<EvaluationReport::Group>& groups) {
  Json all = Json::object();
  for (const EvaluationReport::Group& group : groups) {
    Json& figures = all[group.name] = Json::object();
    if (group.moved) figures["moved"] = number(*group.moved);
    if (group.gradient_norm) figures["gradient_norm"] = number(*group.gradient_norm);
    if (group.time_share) figures["time_share"] = number(*group.time_share);
  }
  return all;
}

double flops_of(const RunSummary& summary) {
  double sum = 0;
  for (const StageSummary& stage : summary.stages) sum += stage.flops();
  return sum;
}

}  // namespace

MetricsLog::MetricsLog(const RunFolder& folder, std::int64_t log_every, bool goes_on,
                       std::function<void()> may_write)
    : folder_(folder),
      log_every_(log_every),
      may_write_(std::move(may_write)),
      log_(folder.metrics(), goes_on) {}

void MetricsLog::write_line(const std::string& json) {
  if (may_write_) may_write_();
  log_.add(json);
}

void MetricsLog::transition(const TransitionReport& report) {
  Json groups = Json::object();
  for (const TransitionReport::Group& group : report.groups) {
    if (group.active) {
      groups[group.name] = group.learning_rate;
    }
  }
  Json line = line_of("transition", report);
  line.update({{"stage_index", report.index},
               {"groups", groups},
               {"curve_steps", report.curve_steps},
               {"active_parameters", report.active_parameters},
               {"backward_cut", report.backward_cut},
               {"plan", report.plan},
               {"buckets", report.costs.buckets},
               {"gradient_bytes", report.costs.gradient_bytes},
               {"prepared", report.costs.prepared},
               {"agreement_seconds", report.costs.agreement_seconds},
               {"build_seconds", report.costs.build_seconds},
               {"optimizer_seconds", report.optimizer_seconds},
               {"state_bytes", report.state_bytes},
               {"state_bytes_moved", report.state_bytes_moved},
               {"state_move_seconds", report.state_move_seconds},
               {"shared_weight_bytes", report.shared_weight_bytes},
               {"state_bytes_put_aside", report.state_bytes_put_aside},
               {"state_bytes_brought_back", report.state_bytes_brought_back},
               {"state_aside_seconds", report.state_aside_seconds},
               {"seconds", report.seconds}});
  write_line(json_text(line));
}

void MetricsLog::step(const StepReport& report) {
  if (report.step % log_every_ != 0) {
    return;
  }
  Json rates = Json::object();
  for (const auto& [group, rate] : report.learning_rates) {
    rates[group] = rate;
  }
  Json line = line_of("step", report);
  line.update({{"loss", number(report.loss)},
               {"learning_rate", report.learning_rate},
               {"learning_rates", rates},
               {"samples", report.samples},
               {"samples_per_second",
                report.seconds > 0 ? static_cast<double>(report.samples) / report.seconds : 0.0},
               {"bytes_reduced", report.bytes_reduced},
               {"seconds",
                {{"total", report.seconds},
                 {"data", report.data_seconds},
                 {"compute", report.compute_seconds},
                 {"communication", report.communication_seconds}}}});
  if (report.compute_parts) {
    line["seconds"].update({{"forward", report.compute_parts->forward},
                            {"backward", report.compute_parts->backward},
                            {"optimizer", report.compute_parts->optimizer}});
  }
  if (report.counted_tokens >= 0) line["counted_tokens"] = report.counted_tokens;
  if (report.gradient_norm > 0) {
    line["gradient_norm"] = number(report.gradient_norm);
  }
  write_line(json_text(line));
}

void MetricsLog::evaluation(const EvaluationReport& report) {
  Json line{{"event", "evaluation"}};
  line.update(Json(report));
  line["seconds"] = report.seconds;
  line["best"] = report.best;
  if (!report.groups.empty()) {
    line["groups"] = groups_json(report.groups);
    line["group_seconds"] = report.group_seconds;
  }
  if (report.peak_memory_bytes > 0) line["peak_memory_bytes"] = report.peak_memory_bytes;
  if (!report.confusion.empty()) {
    line.update({{"classes", report.classes}, {"confusion", report.confusion}});
  }
  for (const EvaluationReport::Mistake& each : report.mistakes) {
    line["mistakes"].push_back(
        {{"class", each.of}, {"said", each.said}, {"samples", each.samples}});
  }
  write_line(json_text(line));
}

void MetricsLog::samples(const SamplesReport& report) {
  Json samples = Json::array();
  for (const SamplesReport::Sample& sample : report.samples) {
    samples.push_back({{"prompt", sample.prompt}, {"answer", sample.answer}});
  }
  Json line = line_of("samples", report);
  line.update({{"samples", samples}, {"seconds", report.seconds}});
  write_line(json_text(line));
}

void MetricsLog::audit(const AuditReport& report) {
  Json line = line_of("audit", report);
  line.update({{"tensors", report.tensors}, {"bytes", report.bytes}, {"seconds", report.seconds}});
  write_line(json_text(line));
}

void MetricsLog::prefix_cache(const PrefixCacheReport& report) {
  Json line = line_of("prefix-cache", report);
  line.update({{"split", report.split},
               {"used", report.used},
               {"text", report.text},
               {"boundary", report.boundary},
               {"bytes", report.bytes},
               {"made", report.made},
               {"same_bits", report.same_bits},
               {"seconds", report.seconds}});
  write_line(json_text(line));
}

void MetricsLog::forgetting(const ForgettingReport& report) {
  Json line = line_of("retention", report);
  line.update(forgetting_json(report));
  line["seconds"] = report.seconds;
  write_line(json_text(line));
}

void MetricsLog::skipped(const SkippedReport& report) {
  Json line = line_of("skipped", report);
  line.update({{"loss", number(report.loss)},
               {"gradient_norm", number(report.gradient_norm)},
               {"in_a_row", report.in_a_row}});
  write_line(json_text(line));
}

void MetricsLog::checkpoint(const CheckpointReport& report) {
  Json line = line_of("checkpoint", report);
  line.update({{"transition", report.transition}, {"path", report.path}});
  if (!report.problem.empty()) {
    line["problem"] = report.problem;
  }
  line.update({{"bytes", report.bytes},
               {"seconds", report.seconds},
               {"stall_seconds", report.stall_seconds}});
  write_line(json_text(line));
  // What a run goes on from after a power cut, the log must reach too.
  if (report.problem.empty()) log_.flush();
}

void MetricsLog::resume(const ResumeReport& report) {
  Json line = line_of("resume", report);
  line.update({{"path", report.path},
               {"ranks", report.ranks},
               {"ranks_before", report.ranks_before},
               {"passed_over", report.passed_over}});
  write_line(json_text(line));
}

void MetricsLog::end(const RunSummary& summary) {
  write_line(json_text(Json{{"event", "end"},
                            {"step", summary.steps},
                            {"epoch", number(summary.epochs)},
                            {"stage", summary.stages.empty() ? "" : summary.stages.back().name},
                            {"loss", number(summary.train_loss)},
                            {"seconds", summary.seconds}}));
  log_.settle();
  Json json{{"steps", summary.steps},     {"epochs", number(summary.epochs)},
            {"seconds", summary.seconds}, {"ranks", summary.ranks},
            {"flops", flops_of(summary)}, {"train_loss", number(summary.train_loss)}};
  if (summary.evaluated) {
    json["validation"] = summary.last_evaluation;
    json["best"] = summary.best_evaluation;
  }
  if (!summary.forgetting.empty()) {
    const ForgettingReport& before = summary.forgetting.front();
    const ForgettingReport& after = summary.forgetting.back();
    json["retention"] = {{"before", forgetting_json(before)},
                         {"after", forgetting_json(after)},
                         {"forgetting", number(before.figure.value - after.figure.value)}};
  }
  json["stages"] = summary.stages;
  if (may_write_) may_write_();
  write_whole_file(folder_.summary(), json_text(json, 2) + "\n");
}

}  // namespace thaw
