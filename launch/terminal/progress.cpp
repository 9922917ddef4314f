#include "launch/terminal/progress.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "core/base/text_bytes.h"
#include "core/tasks/registry.h"
#include "launch/terminal/text_table.h"

namespace thaw {
namespace {

// Between two times that something is shown: on a terminal, and in a log that is kept.
constexpr double kLineSeconds = 0.1;
constexpr double kLogSeconds = 10.0;

/// One line on a step: where, loss, speed, and how long the stage will take at its pace so far.
/// `stage_seconds`: since the stage began.
std::string step_text(const StepReport& report, double stage_seconds) {
  std::string text = fmt::format("{}  epoch {:.2f}  step {}", report.stage, report.epoch,
                                 report.stage_steps > 0
                                     ? fmt::format("{}/{}", report.stage_step, report.stage_steps)
                                     : fmt::format("{}", report.stage_step));
  text += report.counted_tokens == 0 ? "  no token of this batch counts"
                                     : fmt::format("  loss {:.4f}", report.loss);
  if (report.seconds > 0) {
    text += fmt::format("  {:.0f} samples/s", static_cast<double>(report.samples) / report.seconds);
  }
  if (report.stage_steps > 0) {
    const auto done = static_cast<double>(report.stage_step);
    const auto left = static_cast<double>(report.stage_steps - report.stage_step);
    text += fmt::format("  {} left in stage", clock_text(stage_seconds / done * left));
  }
  return printable(text);
}

/// "encoder.2, head": the active groups.
std::string active_groups(const std::vector<TransitionReport::Group>& groups) {
  std::vector<std::string> names;
  for (const TransitionReport::Group& group : groups) {
    if (group.active) {
      names.push_back(group.name);
    }
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

/// The segments of a policy's stage as one row, with the largest of what belongs to one step.
std::vector<StageSummary> whole_stages(const std::vector<StageSummary>& stages) {
  std::vector<StageSummary> whole;
  for (const StageSummary& stage : stages) {
    if (!stage.goes_on || whole.empty()) {
      whole.push_back(stage);
      continue;
    }
    StageSummary& sum = whole.back();
    if (sum.name.ends_with("/0")) {
      sum.name.resize(sum.name.size() - 2);
    }
    sum.steps += stage.steps;
    sum.seconds += stage.seconds;
    sum.transition_seconds += stage.transition_seconds;
    sum.step_seconds_median = std::max(sum.step_seconds_median, stage.step_seconds_median);
    sum.active_parameters = std::max(sum.active_parameters, stage.active_parameters);
    sum.bytes_reduced_per_step = std::max(sum.bytes_reduced_per_step, stage.bytes_reduced_per_step);
    sum.peak_memory_bytes = std::max(sum.peak_memory_bytes, stage.peak_memory_bytes);
  }
  return whole;
}

/// Neighbours that are alike share a row: "encoder.0 … encoder.3".
std::string group_table(const std::vector<TransitionReport::Group>& groups) {
  TextTable table({"group", ">parameters", ">learning rate"});
  for (std::size_t first = 0; first < groups.size();) {
    const TransitionReport::Group& group = groups[first];
    std::size_t last = first;
    std::int64_t parameters = group.parameters;
    while (last + 1 < groups.size() && groups[last + 1].active == group.active &&
           groups[last + 1].learning_rate == group.learning_rate) {
      parameters += groups[++last].parameters;
    }
    table.row({last == first ? group.name : group.name + " … " + groups[last].name,
               with_commas(parameters),
               group.active ? fmt::format("{:g}", group.learning_rate) : "frozen"});
    first = last + 1;
  }
  return table.text();
}

/// "loss 0.5885, accuracy 81.92 %"
std::string result_text(const EvaluationReport& report) {
  return fmt::format("loss {:.4f}, {}", report.loss, figure_text(report.figures.at(0)));
}

/// In local time, for a log that people read beside a clock.
std::string time_of_day() { return fmt::format("{:%H:%M:%S}", fmt::localtime(std::time(nullptr))); }

}  // namespace

bool watched_on_terminal() {
  if (std::getenv("OMPI_COMM_WORLD_RANK") == nullptr) {
    return isatty(STDERR_FILENO) != 0;
  }
  // The parent is mpirun itself where rank 0 runs on its host; elsewhere the link is not readable
  // or leads to no terminal, and timed lines are right.
  std::error_code error;
  const std::filesystem::path target =
      std::filesystem::read_symlink("/proc/" + std::to_string(getppid()) + "/fd/2", error);
  const std::string name = target.string();
  return !error && (name.starts_with("/dev/pts/") || name.starts_with("/dev/tty"));
}

Progress::Progress(ProgressStyle style)
    : style_(style != ProgressStyle::kAuto ? style
             : watched_on_terminal()       ? ProgressStyle::kLine
                                           : ProgressStyle::kLog) {}

/// Before anything else is printed: the line that changes would stand in its way.
void Progress::clear_line() {
  if (line_shown_) {
    fmt::print(stderr, "\r\x1b[K");
    std::fflush(stderr);
    line_shown_ = false;
  }
}

void Progress::transition(const TransitionReport& report) {
  since_stage_.lap();
  first_of_stage_ = true;
  if (style_ == ProgressStyle::kOff) {
    return;
  }
  clear_line();
  if (report.segment.value_or(0) > 0) {
    fmt::print("  \"{}\" at step {}: {} ({} parameters)\n", printable(report.stage), report.step,
               active_groups(report.groups), with_commas(report.active_parameters));
    std::fflush(stdout);
    return;
  }
  const std::string table = group_table(report.groups);
  fmt::print("Stage {}/{} \"{}\" at step {} (epoch {:.2f}){}\n{}", report.index + 1, report.stages,
             printable(report.stage), report.step, report.epoch,
             report.stage_steps > 0 ? fmt::format(": {} steps", report.stage_steps) : "", table);
  fmt::print("  active: {} of {} parameters ({:.1f} %); backward reaches {}\n",
             with_commas(report.active_parameters), with_commas(report.parameters),
             100.0 * static_cast<double>(report.active_parameters) /
                 static_cast<double>(report.parameters),
             report.backward_cut);
  std::fflush(stdout);
}

void Progress::step(const StepReport& report) {
  if (style_ == ProgressStyle::kOff) {
    return;
  }
  const double interval = style_ == ProgressStyle::kLine ? kLineSeconds : kLogSeconds;
  if (!first_of_stage_ && since_shown_.seconds() < interval) {
    return;
  }
  first_of_stage_ = false;
  since_shown_.lap();
  const std::string text = step_text(report, since_stage_.seconds());
  if (style_ == ProgressStyle::kLine) {
    fmt::print(stderr, "\r\x1b[K{}", text);
    line_shown_ = true;
  } else {
    fmt::print(stderr, "{} {}\n", time_of_day(), text);
  }
  std::fflush(stderr);
}

void Progress::evaluation(const EvaluationReport& report) {
  if (style_ == ProgressStyle::kOff) {
    return;
  }
  clear_line();
  fmt::print("  {} at step {} (epoch {:.2f}): {}{}\n", report.split, report.step, report.epoch,
             result_text(report), report.best ? ", best so far" : "");
  std::fflush(stdout);
}

void Progress::samples(const SamplesReport& report) {
  if (style_ == ProgressStyle::kOff) {
    return;
  }
  clear_line();
  for (const SamplesReport::Sample& sample : report.samples) {
    fmt::print("  > {}|{}\n", printable(sample.prompt), printable(sample.answer));
  }
  std::fflush(stdout);
}

void Progress::forgetting(const ForgettingReport& report) {
  if (style_ == ProgressStyle::kOff) {
    return;
  }
  clear_line();
  fmt::print("  source task ({}) at step {}: loss {:.4f}, {}\n", report.split, report.step,
             report.loss, figure_text(report.figure));
  std::fflush(stdout);
}

void Progress::checkpoint(const CheckpointReport& report) {
  if (report.problem.empty()) {
    return;
  }
  clear_line();
  fmt::print(stderr,
             "thaw: warning: no checkpoint at step {}: {}\n  training goes on; the next one "
             "is tried in its turn\n",
             report.step, printable_lines(report.problem));
}

void Progress::resume(const ResumeReport& report) {
  if (style_ == ProgressStyle::kOff) {
    return;
  }
  fmt::print("Goes on after step {} (epoch {:.2f}){} from {}\n", report.step, report.epoch,
             report.stage.empty() ? "" : fmt::format(" in stage \"{}\"", printable(report.stage)),
             printable(report.path));
  std::fflush(stdout);
}

void Progress::end(const RunSummary& summary) {
  if (style_ == ProgressStyle::kOff) {
    return;
  }
  clear_line();
  TextTable table({"stage", ">steps", ">time", ">s/step", ">active", ">reduced/step",
                   ">peak memory", ">transition"});
  for (const StageSummary& stage : whole_stages(summary.stages)) {
    table.row({stage.name, with_commas(stage.steps), clock_text(stage.seconds),
               fmt::format("{:.4f}", stage.step_seconds_median),
               with_commas(stage.active_parameters), bytes_text(stage.bytes_reduced_per_step),
               bytes_text(stage.peak_memory_bytes),
               fmt::format("{:.1f} ms", 1e3 * stage.transition_seconds)});
  }
  fmt::print("Done: {} steps, {:.2f} epochs in {} on {} rank{}\n{}", with_commas(summary.steps),
             summary.epochs, clock_text(summary.seconds), summary.ranks,
             summary.ranks == 1 ? "" : "s", table.text());
  if (summary.evaluated) {
    fmt::print("  validation: {} (best: {} at step {})\n", result_text(summary.last_evaluation),
               result_text(summary.best_evaluation), summary.best_evaluation.step);
  }
  std::fflush(stdout);
}

}  // namespace thaw
