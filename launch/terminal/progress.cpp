#include "launch/terminal/progress.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>

#include "core/base/progress/notice.h"
#include "core/base/text_bytes.h"
#include "core/tasks/registry.h"
#include "launch/terminal/screen.h"
#include "launch/terminal/text_table.h"

namespace thaw {
namespace {

// Between two times that something is shown: on a terminal, and in a log that is kept.
constexpr double kLineSeconds = 0.1;
constexpr double kLogSeconds = 10.0;
// Of a screen that does not tell, and of a file that is read on one; a line of it may be long.
constexpr std::size_t kUsualColumns = 80, kLogColumns = 240;

std::size_t table_columns() { return screen_columns(STDOUT_FILENO, kUsualColumns); }

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
  return table.text(table_columns());
}

/// "22,713,216", or "1,234.6 M" where that is too long for a column.
std::string parameters_text(std::int64_t count) {
  if (count < 100'000'000) return with_commas(count);
  return fmt::format("{}.{} M", with_commas(count / 1'000'000), count / 100'000 % 10);
}

/// "12.3 ms", "1.2 s".
std::string moment_text(double seconds) {
  return seconds < 1 ? fmt::format("{:.1f} ms", 1e3 * seconds) : fmt::format("{:.1f} s", seconds);
}

/// "loss 0.5885, accuracy 81.92 %"
std::string result_text(const EvaluationReport& report) {
  return fmt::format("loss {:.4f}, {}", report.loss, figure_text(report.figures.at(0)));
}

/// In local time, for a log that people read beside a clock.
std::string time_of_day() { return fmt::format("{:%H:%M:%S}", fmt::localtime(std::time(nullptr))); }

}  // namespace

Progress::Progress(ProgressStyle style)
    : style_(style != ProgressStyle::kAuto ? style
             : watched_on_terminal()       ? ProgressStyle::kLine
                                           : ProgressStyle::kLog),
      colour_(style_ == ProgressStyle::kLine && watched_on_terminal() && colours_wanted()),
      erases_(style_ == ProgressStyle::kLine && on_terminal(STDOUT_FILENO)) {}

/// mpirun forwards standard output and error apart, so what takes the line away may come late:
/// where both appear on one terminal, the message itself takes it away too.
void Progress::clear_line() {
  clear_moving_line();
  if (erases_) fmt::print("\r\x1b[K");
}

void Progress::show_line() {
  if (style_ == ProgressStyle::kLine) {
    show_moving_line(progress_line(facts_, screen_columns(STDERR_FILENO, kUsualColumns), colour_));
  } else {
    say(fmt::format("{} {}\n", time_of_day(), progress_line(facts_, kLogColumns)));
  }
}

void Progress::transition(const TransitionReport& report) {
  stage_pace_.begin(report.step, clock_.seconds());
  first_of_stage_ = true;
  amount_ = 0;
  amount_seconds_ = 0;
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
  const double now = clock_.seconds();
  // Of a run that goes on within a stage, nobody has told that it begins.
  if (stage_pace_.unknown()) stage_pace_.begin(report.step - 1, now - report.seconds);
  if (run_pace_.unknown()) run_pace_.begin(report.step - 1, now - report.seconds);
  stage_pace_.done(report.step, now);
  run_pace_.done(report.step, now);
  facts_.stage = report.stage;
  facts_.activity.clear();
  facts_.step = report.step;
  facts_.run_steps = report.run_steps;
  facts_.may_be_fewer = report.may_be_fewer;
  facts_.epoch = report.epoch;
  const bool counts = report.counted_tokens != 0;  // of a batch of tokens that none of counts
  facts_.train_loss = counts ? std::optional(report.loss) : std::nullopt;
  facts_.unit = report.counted_tokens >= 0 ? "tokens" : "samples";
  amount_ += report.counted_tokens >= 0 ? report.counted_tokens : report.samples;
  amount_seconds_ += report.seconds;
  facts_.per_second = amount_seconds_ > 0 ? static_cast<double>(amount_) / amount_seconds_ : 0;
  facts_.stage_seconds_left.reset();
  facts_.run_seconds_left.reset();
  const auto count = [](std::int64_t steps) { return static_cast<double>(steps); };
  if (report.stage_steps > 0) {
    facts_.stage_seconds_left =
        stage_pace_.seconds_of(count(report.stage_steps - report.stage_step));
  }
  if (report.steps_worth_left > 0) {
    facts_.run_seconds_left = stage_pace_.seconds_of(report.steps_worth_left);
  } else if (report.run_steps > 0) {
    facts_.run_seconds_left = run_pace_.seconds_of(count(report.run_steps - report.step));
  }
  if (style_ == ProgressStyle::kOff) return;
  const double interval = style_ == ProgressStyle::kLine ? kLineSeconds : kLogSeconds;
  if (!first_of_stage_ && since_shown_.seconds() < interval) return;
  first_of_stage_ = false;
  since_shown_.lap();
  show_line();
  amount_ = 0;
  amount_seconds_ = 0;
}

void Progress::activity(const ActivityReport& report) {
  if (style_ != ProgressStyle::kLine || facts_.stage.empty()) return;  // a log says what came of it
  facts_.activity = report.activity;
  show_line();
}

void Progress::evaluation(const EvaluationReport& report) {
  facts_.validation_loss = report.loss;
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

void Progress::prefix_cache(const PrefixCacheReport& report) {
  if (style_ == ProgressStyle::kOff) {
    return;
  }
  clear_line();
  fmt::print("  prefix cache ({}): {}\n", printable(report.split), printable(report.text));
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
  say(fmt::format(
      "thaw: warning: no checkpoint at step {}: {}\n  training goes on; the next one is tried in "
      "its turn\n",
      report.step, printable_lines(report.problem)));
}

void Progress::resume(const ResumeReport& report) {
  facts_.validation_loss = report.validation_loss;
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
  TextTable table({"stage", ">steps", ">time", ">s/step", ">active", ">reduced\n/step",
                   ">peak\nmemory", ">tran-\nsition"});
  for (const StageSummary& stage : whole_stages(summary.stages)) {
    table.row({stage.name, with_commas(stage.steps), clock_text(stage.seconds),
               fmt::format("{:.4f}", stage.step_seconds_median),
               parameters_text(stage.active_parameters), bytes_text(stage.bytes_reduced_per_step),
               bytes_text(stage.peak_memory_bytes), moment_text(stage.transition_seconds)});
  }
  fmt::print("Done: {} steps, {:.2f} epochs in {} on {} rank{}\n{}", with_commas(summary.steps),
             summary.epochs, clock_text(summary.seconds), summary.ranks,
             summary.ranks == 1 ? "" : "s", table.text(table_columns()));
  if (summary.evaluated) {
    fmt::print("  validation: {}\n  best: {} at step {}\n", result_text(summary.last_evaluation),
               result_text(summary.best_evaluation), summary.best_evaluation.step);
  }
  std::fflush(stdout);
}

void print_in_place_of_line(const std::string& text) {
  const bool shown = clear_moving_line();
  if (shown && on_terminal(STDOUT_FILENO)) fmt::print("\r\x1b[K");  // see Progress::clear_line
  fmt::print("{}", text);
  std::fflush(stdout);
}

}  // namespace thaw
