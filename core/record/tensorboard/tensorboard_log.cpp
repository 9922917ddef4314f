#include "core/record/tensorboard/tensorboard_log.h"

#include <fmt/format.h>

#include <utility>

#include "core/base/error.h"
#include "core/base/progress/notice.h"

namespace thaw {

TensorBoardLog::TensorBoardLog(std::filesystem::path folder, std::int64_t log_every,
                               std::function<void()> may_write)
    : folder_(std::move(folder)), log_every_(log_every), may_write_(std::move(may_write)) {}

EventFile* TensorBoardLog::file() {
  if (off_) return nullptr;
  if (may_write_) may_write_();
  if (file_) return &*file_;
  try {
    return &file_.emplace(folder_);
  } catch (const RunError& error) {
    // Of rank 0 alone: the others would wait for it.
    off_ = true;
    say(
        fmt::format("thaw: warning: {}; training goes on without TensorBoard's files, and "
                    "metrics.jsonl has what they would hold\n",
                    error.what()));
    return nullptr;
  }
}

void TensorBoardLog::add(std::int64_t step, const std::vector<TaggedScalar>& scalars) {
  if (EventFile* const to = file()) to->add(scalars_event(wall_time(), step, scalars));
}

void TensorBoardLog::step(const StepReport& report) {
  if (report.step % log_every_ != 0) return;
  std::vector<TaggedScalar> scalars = {{"train/loss", report.loss},
                                       {"epoch", report.epoch},
                                       {"learning_rate", report.learning_rate}};
  for (const auto& [group, rate] : report.learning_rates) {
    scalars.emplace_back("learning_rate/" + group, rate);
  }
  if (report.gradient_norm > 0) scalars.emplace_back("gradient_norm", report.gradient_norm);
  if (report.seconds > 0) {
    scalars.emplace_back("samples_per_second",
                         static_cast<double>(report.samples) / report.seconds);
  }
  scalars.emplace_back("bytes_reduced", static_cast<double>(report.bytes_reduced));
  scalars.emplace_back("seconds/total", report.seconds);
  scalars.emplace_back("seconds/data", report.data_seconds);
  scalars.emplace_back("seconds/compute", report.compute_seconds);
  scalars.emplace_back("seconds/communication", report.communication_seconds);
  if (report.compute_parts) {
    scalars.emplace_back("seconds/forward", report.compute_parts->forward);
    scalars.emplace_back("seconds/backward", report.compute_parts->backward);
    scalars.emplace_back("seconds/optimizer", report.compute_parts->optimizer);
  }
  add(report.step, scalars);
}

void TensorBoardLog::evaluation(const EvaluationReport& report) {
  std::vector<TaggedScalar> scalars = {{report.split + "/loss", report.loss}};
  for (const Figure& figure : report.figures) {
    scalars.emplace_back(report.split + "/" + figure.name, figure.value);
  }
  for (const EvaluationReport::Group& group : report.groups) {
    if (group.moved) scalars.emplace_back("moved/" + group.name, *group.moved);
    if (group.gradient_norm) {
      scalars.emplace_back("gradient_norm/" + group.name, *group.gradient_norm);
    }
    if (group.time_share) scalars.emplace_back("time_share/" + group.name, *group.time_share);
  }
  add(report.step, scalars);
}

void TensorBoardLog::forgetting(const ForgettingReport& report) {
  add(report.step,
      {{"retention/loss", report.loss}, {"retention/" + report.figure.name, report.figure.value}});
}

void TensorBoardLog::resume(const ResumeReport& report) {
  if (EventFile* const to = file()) to->add(restart_event(wall_time(), report.step + 1));
}

}  // namespace thaw
