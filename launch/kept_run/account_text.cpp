#include "launch/kept_run/account_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/text_bytes.h"
#include "core/tasks/registry.h"
#include "launch/kept_run/run_account.h"
#include "launch/terminal/text_table.h"

namespace thaw {
namespace {

constexpr std::size_t kColumns = 80;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// A line of the head: "  best       step 300: ...", broken at spaces.
std::string head_line(const std::string& what, const std::string& text) {
  constexpr std::size_t kIndent = 11;
  std::string result;
  std::string row = fmt::format("  {:<9}", what);
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (row.size() > kIndent && row.size() + 1 + word.size() > kColumns) {
      result += row + "\n";
      row = std::string(kIndent, ' ');
    }
    row += (row.size() > kIndent ? " " : "") + word;
    begin = end + 1;
  }
  return result + row + "\n";
}

std::string plural(std::int64_t count, const std::string& what) {
  return fmt::format("{} {}{}", with_commas(count), what, count == 1 ? "" : "s");
}

std::string evaluation_text(const EvaluationReport& report) {
  std::string text = fmt::format("{} loss {:.4f}", report.split, report.loss);
  for (const Figure& figure : report.figures) text += ", " + figure_text(figure);
  return text;
}

std::string network_text(const ModelDescription& network) {
  if (network.says_nothing()) return "";
  std::string text = fmt::format("{} by a {}", network.task, network.architecture);
  if (!network.classes.empty()) {
    text += fmt::format(", {} classes: {}", network.classes.size(),
                        printable(short_list(network.classes)));
  } else if (!network.targets.empty()) {
    text += ": " + printable(short_list(network.targets));
  }
  return text;
}

std::string number_or_dash(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : "-";
}

std::string stage_table(const RunStory& story) {
  TextTable table({"stage", ">steps", ">epochs", ">time", ">ms a\nstep", ">samples/s",
                   ">training\nloss", ">validation\nloss"});
  for (const StoryStage& stage : story.stages) {
    const EvaluationReport* evaluation = last_evaluation_in(story, stage);
    const double loss =
        stage.losses > 0 ? stage.loss_sum / static_cast<double>(stage.losses) : kNone;
    table.row({printable(stage.name), with_commas(stage.steps()),
               fmt::format("{:.2f}", stage.last_epoch - stage.first_epoch),
               clock_text(stage.seconds + stage.transition_seconds),
               stage.told_steps > 0 ? fmt::format("{:.1f}", 1e3 * stage.median_step_seconds) : "-",
               stage.seconds > 0 ? fmt::format("{:.0f}", stage.samples_per_second()) : "-",
               number_or_dash(loss, 4), number_or_dash(evaluation ? evaluation->loss : kNone, 4)});
  }
  return table.text(kColumns);
}

/// Names of the stages that the configuration has behind the last one that began.
std::vector<std::string> stages_to_come(const RunAccount& account) {
  std::vector<std::string> names;
  if (!account.document) return names;
  const std::vector<Setting>& stages = account.document->stages;
  const std::size_t begun =
      account.story.stages.empty() ? 0 : account.story.stages.back().index + 1;
  for (std::size_t i = begun; i < stages.size(); ++i) {
    const Setting* name = stages[i].find("name");
    names.push_back(name != nullptr ? as_string(*name).value_or("") : "");
  }
  return names;
}

std::string kept_text(const RunAccount& account) {
  const KeptBytes& kept = account.kept;
  std::string text = fmt::format(
      "{}: {} in weights, {} in {}", bytes_text(kept.all()), bytes_text(kept.weights),
      bytes_text(kept.checkpoints),
      plural(static_cast<std::int64_t>(account.state.checkpoints.size()), "checkpoint"));
  if (kept.set_aside > 0) {
    text += fmt::format(", {} set aside or half written", bytes_text(kept.set_aside));
  }
  return text + fmt::format(", {} in logs and settings", bytes_text(kept.others));
}

std::string next_text(const RunAccount& account) {
  const std::string folder = printable(account.folder.path().string());
  const std::string command = printable(resume_command(account.folder));
  switch (account.state.condition) {
    case RunCondition::kRunning:
      return fmt::format("{} works in it; touch {}/stop has it save and stop",
                         printable(account.state.holder), folder);
    case RunCondition::kComplete:
      return fmt::format(
          "thaw evaluate {0}, thaw predict {0}, thaw export {0} OUT; nothing is left "
          "to be trained",
          folder);
    case RunCondition::kStopped:
      return fmt::format("goes on after step {}: {}", account.story.steps, command);
    case RunCondition::kCutOff:
      break;
  }
  if (account.state.checkpoints.empty()) {
    return fmt::format("no checkpoint was made, so it begins again: {}", command);
  }
  return fmt::format("steps behind {} are lost, from there it goes on: {}",
                     account.state.checkpoints.back().step, command);
}

std::string trained_text(const RunAccount& account) {
  const RunStory& story = account.story;
  std::string text = fmt::format("{}, {:.2f} epochs, in {}", plural(story.steps, "step"),
                                 story.epoch, clock_text(story.seconds));
  if (account.ranks > 0) text += ", on " + plural(account.ranks, "rank");
  if (story.skipped > 0) text += fmt::format("; {} of them passed over", story.skipped);
  const std::vector<std::string> names = stages_to_come(account);
  if (!names.empty() && account.state.condition != RunCondition::kComplete) {
    text += fmt::format("; to come: {}", printable(short_list(names)));
  }
  return text;
}

}  // namespace

std::string account_text(const RunAccount& account) {
  const RunStory& story = account.story;
  std::string text = fmt::format("{}: a run, {}\n", printable(account.folder.path().string()),
                                 name_of(account.state.condition));
  if (const std::string network = network_text(account.network); !network.empty()) {
    text += head_line("learns", network);
  }
  text += head_line("trained", trained_text(account));
  for (const ResumeReport& each : story.resumes) {
    text += head_line("resumed", fmt::format("after step {} from {}, on {}", each.step,
                                             printable(each.path), plural(each.ranks, "rank")));
  }
  if (const EvaluationReport* best = story.best()) {
    text += head_line("best", fmt::format("step {}, stage {}: {}", best->step,
                                          printable(best->stage), evaluation_text(*best)));
  }
  if (!story.evaluations.empty()) {
    const EvaluationReport& last = story.evaluations.back();
    text += head_line("last", fmt::format("step {}: {}", last.step, evaluation_text(last)));
  }
  if (std::isfinite(story.train_loss)) {
    text += head_line(
        "", fmt::format("training loss {:.4f} in step {}", story.train_loss, story.steps));
  }
  text += head_line("kept", kept_text(account));
  text += head_line("next", next_text(account));
  return text + (story.stages.empty() ? "" : stage_table(story));
}

}  // namespace thaw
