#include "core/train/resume_rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "core/base/error.h"
#include "core/config/option_table.h"
#include "core/schedule/toml/schedule_writer.h"

namespace thaw {
namespace {

// Note [What may change on the way]
// An option that is in neither list and stands in [model], [data] or [train] is taken to change the
// mathematics: a new option is refused until somebody has thought about it. [schedule] is judged by
// the stages that come of it, data.file by the data's fingerprint, model.config by its content.
constexpr const char* kHarmless[] = {
    "model.weights",  // the checkpoint's own come instead
    "model.config",        "model.tokenizer",  "model.head",
    "data.file",           "data.cache",       "data.read-ahead",
    "train.threads",  // judged by the threads there are
    "train.device",   // likewise
    "train.deterministic", "train.not-finite", "train.skip-limit",
};
constexpr const char* kRounding[] = {
    "data.evaluation-batch",        "train.micro-batch",
    "train.gradient-checkpointing",  // gradients become ready in another order
    "distributed.bucket-bytes",     "distributed.embedding-rows",
};

template <std::size_t count>
bool contains(const char* const (&list)[count], const std::string& name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

using Lines = std::map<std::string, std::string>;

/// "key = value" lines of one stage, by key.
Lines lines_of(const Stage& stage) {
  Lines lines;
  std::istringstream text(write_schedule_toml({{stage}}));
  for (std::string line; std::getline(text, line);) {
    const std::size_t sign = line.find(" = ");
    if (sign != std::string::npos) lines[line.substr(0, sign)] = line.substr(sign + 3);
  }
  return lines;
}

std::string value_in(const Lines& lines, const std::string& key) {
  const auto found = lines.find(key);
  return found == lines.end() ? "not given" : found->second;
}

void compare_stage(const Stage& before, const Stage& now, std::vector<std::string>& refusals) {
  const Lines old_lines = lines_of(before);
  const Lines new_lines = lines_of(now);
  Lines all = old_lines;
  all.insert(new_lines.begin(), new_lines.end());
  for (const auto& [key, unused] : all) {
    const std::string was = value_in(old_lines, key);
    const std::string is = value_in(new_lines, key);
    if (was == is) continue;
    refusals.push_back(fmt::format("schedule.stage.{}.{}: was {} when this stage began, is {} now",
                                   before.name, key, was, is));
  }
}

}  // namespace

ChangeEffect effect_of_change(const std::string& option) {
  if (contains(kHarmless, option)) return ChangeEffect::kNone;
  if (contains(kRounding, option)) return ChangeEffect::kBits;
  const std::string section = option.substr(0, option.find('.'));
  return section == "model" || section == "data" || section == "train" ? ChangeEffect::kMathematics
                                                                       : ChangeEffect::kNone;
}

ResumeVerdict compare_configurations(const ConfigurationDocument& before,
                                     const ConfigurationDocument& now) {
  ResumeVerdict verdict;
  for (const Option& option : option_table()) {
    const OptionValue was = option.get(before);
    const OptionValue is = option.get(now);
    const ChangeEffect effect = effect_of_change(option.name());
    if (was == is || effect == ChangeEffect::kNone) continue;
    const std::string text = fmt::format("{}: was {} when the run began, is {} now",
                                         now.where(option.name()), toml_text(was), toml_text(is));
    (effect == ChangeEffect::kBits ? verdict.warnings : verdict.refusals).push_back(text);
  }
  return verdict;
}

ResumeVerdict compare_stages(const Schedule& before, const Schedule& now, std::size_t begun) {
  ResumeVerdict verdict;
  for (std::size_t i = 0; i < std::min(begun, before.stages.size()); ++i) {
    if (i >= now.stages.size()) {
      verdict.refusals.push_back(
          fmt::format("schedule.stage.{}: was trained already, and is gone from the schedule",
                      before.stages[i].name));
    } else {
      compare_stage(before.stages[i], now.stages[i], verdict.refusals);
    }
  }
  return verdict;
}

ResumeVerdict compare_facts(const RunFacts& before, const RunFacts& now, bool canonical) {
  ResumeVerdict verdict;
  if (before.data != now.data) {
    verdict.refusals.emplace_back("data.file: holds other data than when the run began");
  }
  if (before.model_file != now.model_file) {
    verdict.refusals.emplace_back("model.config: describes another model than when the run began");
  }
  const auto compare = [&](const std::string& what, const auto& was, const auto& is) {
    if (was == is) return;
    const std::string text = fmt::format("{}: {} before, {} now", what, was, is);
    if (canonical) {
      verdict.refusals.push_back(text + "; train.reduction \"canonical\" refuses other bits");
    } else {
      verdict.warnings.push_back(text);
    }
  };
  if (!canonical) compare("ranks", before.ranks, now.ranks);
  compare("threads of a rank (train.threads)", before.threads, now.threads);
  compare("device", before.device, now.device);
  compare("CPU instructions", before.cpu, now.cpu);
  if (canonical || !before.processor.empty()) compare("CPU", before.processor, now.processor);
  compare("LibTorch", before.torch, now.torch);
  return verdict;
}

std::vector<std::string> accept_or_refuse(const std::vector<ResumeVerdict>& verdicts,
                                          const std::string& checkpoint, bool deterministic) {
  std::vector<std::string> refusals;
  std::vector<std::string> warnings;
  for (const ResumeVerdict& verdict : verdicts) {
    refusals.insert(refusals.end(), verdict.refusals.begin(), verdict.refusals.end());
    std::vector<std::string>& target = deterministic ? refusals : warnings;
    for (const std::string& warning : verdict.warnings) {
      target.push_back(deterministic ? warning + "; train.deterministic refuses other bits"
                                     : warning);
    }
  }
  if (!refusals.empty()) {
    throw InputError(fmt::format(
        "{}: cannot go on from it, since this would be another training:\n  {}\nUndo the change, "
        "or begin a run of its own with --run-dir",
        checkpoint, fmt::join(refusals, "\n  ")));
  }
  return warnings;
}

}  // namespace thaw
