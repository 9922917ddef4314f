#include "core/train/resume_rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

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
    "model.config",
    "model.tokenizer",
    "model.head",
    "data.file",
    "data.cache",
    "data.read-ahead",
    "train.threads",  // judged by the threads there are
    "train.device",   // likewise
    "train.deterministic",
    "train.not-finite",
    "train.skip-limit",
    "train.prefix-cache-folder",
    "train.prefix-cache-gib",
};
constexpr const char* kRounding[] = {
    "data.evaluation-batch",
    "train.micro-batch",
    "train.micro-batch-tokens",
    "train.prefix-cache",            // Note [Bits of cached activations]
    "train.gradient-checkpointing",  // gradients become ready in another order
    "distributed.bucket-bytes",
    "distributed.embedding-rows",
    "distributed.wire",
    "distributed.sharding",
    "train.cuda-graphs",  // Note [Size classes]
    "train.tf32",
    "train.cudnn-benchmark",
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

// ---------------------------------------------------------------------- facts

using NamedFacts = std::map<std::string, std::string>;

/// What comes before the first ": " of a fact's name, as "data.file", and what comes after it.
std::pair<std::string, std::string> kind_and_rest(const std::string& name) {
  const std::size_t colon = name.find(": ");
  return colon == std::string::npos ? std::pair(name, name)
                                    : std::pair(name.substr(0, colon), name.substr(colon + 2));
}

ChangeEffect effect_of_fact(const std::string& kind) {
  if (kind == "model.weights" || kind == "model.tokenizer") return ChangeEffect::kNone;
  if (kind == "program" || kind == "LibTorch") return ChangeEffect::kBits;
  return ChangeEffect::kMathematics;
}

bool is_canonical(const ConfigurationDocument& document) {
  return document.configuration.train.reduction == Reduction::kCanonical;
}

/// "split train: inputs differ from when the run began".
std::string text_of_difference(const std::string& what, const std::string& was,
                               const std::string& is) {
  const auto is_hash = [](const std::string& value) {
    return value.size() == 32 && value.find_first_not_of("0123456789abcdef") == std::string::npos;
  };
  if (is_hash(was) || is_hash(is)) {
    return fmt::format("{} differ{} from when the run began", what, what.ends_with('s') ? "" : "s");
  }
  const auto shown = [](const std::string& value) {
    return value.empty() ? std::string("not given") : value;
  };
  return fmt::format("{} was {} when the run began, is {} now", what, shown(was), shown(is));
}

void add_bits(const std::string& text, bool canonical, ResumeVerdict& verdict) {
  if (canonical) {
    verdict.refusals.push_back(text + "; train.reduction \"canonical\" refuses other bits");
  } else {
    verdict.warnings.push_back(text);
  }
}

void add_difference(const std::string& name, const std::string& was, const std::string& is,
                    bool canonical, ResumeVerdict& verdict) {
  const auto [kind, what] = kind_and_rest(name);
  const ChangeEffect effect = effect_of_fact(kind);
  if (effect == ChangeEffect::kNone) return;
  const char* of = kind == "data.file"      ? "holds other data: "
                   : kind == "model.config" ? "describes another model: "
                                            : "";
  const std::string text = fmt::format("{}: {}{}", kind, of, text_of_difference(what, was, is));
  if (effect == ChangeEffect::kBits) {
    add_bits(text, canonical, verdict);
  } else {
    verdict.refusals.push_back(text);
  }
}

/// Whether it counts that `others` lack this fact. Another version may know facts that this one
/// does not; but every key of config.json counts, and whatever is of a subject (a split, say) of
/// which they know nothing.
bool lack_counts(const std::string& name, const NamedFacts& others) {
  if (name.starts_with("model.config: ")) return true;
  const std::string subject = name.substr(0, name.rfind(": ") + 2);
  const auto next = others.lower_bound(subject);
  return next == others.end() || !next->first.starts_with(subject);
}

void compare_identities(const NamedFacts& before, const NamedFacts& now, bool canonical,
                        ResumeVerdict& verdict) {
  for (const auto& [name, was] : before) {
    const auto found = now.find(name);
    const bool there = found != now.end();
    if (there ? found->second != was : lack_counts(name, now)) {
      add_difference(name, was, there ? found->second : "", canonical, verdict);
    }
  }
  for (const auto& [name, is] : now) {
    if (before.contains(name) || !lack_counts(name, before)) continue;
    add_difference(name, "", is, canonical, verdict);
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
    // How ranks work together changes no bits of canonical sums.
    if (effect == ChangeEffect::kBits && is_canonical(now) &&
        option.name().starts_with("distributed.")) {
      continue;
    }
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
  const bool named = !before.identity.empty() && !now.identity.empty();
  // By earlier versions alone: they looked at labels and lengths, of all splits, and at the bytes
  // of config.json.
  if (!named && before.data != now.data) {
    verdict.refusals.emplace_back("data.file: holds other data than when the run began");
  }
  if (!named && before.model_file != now.model_file) {
    verdict.refusals.emplace_back("model.config: describes another model than when the run began");
  }
  if (named) compare_identities(before.identity, now.identity, canonical, verdict);
  const auto compare = [&](const std::string& what, const auto& was, const auto& is) {
    if (was != is) {
      add_bits(fmt::format("{}: {} before, {} now", what, was, is), canonical, verdict);
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
