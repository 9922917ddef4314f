#include "core/schedule/resolve_schedule.h"

#include <fmt/format.h>

#include <optional>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/config/option_table.h"
#include "core/config/problems.h"
#include "core/config/toml_text.h"
#include "core/schedule/curves/curve.h"
#include "core/schedule/end_condition.h"
#include "core/schedule/presets/preset.h"
#include "core/schedule/schedule_run.h"
#include "core/schedule/toml/group_aliases.h"
#include "core/schedule/toml/stage_override.h"
#include "core/schedule/toml/stage_reader.h"

namespace thaw {
namespace {

constexpr std::string_view kStagePrefix = "schedule.stage.";

/// The stages as settings, from the preset or from the file.
std::vector<Setting> written_stages(const ConfigurationDocument& document,
                                    const std::vector<std::string>& model_groups,
                                    std::int64_t train_samples, Problems& problems) {
  const bool has_preset = !document.schedule.preset.empty();
  if (has_preset && !document.stages.empty()) {
    problems.add(document.given.find("schedule.preset")->second, "schedule.preset",
                 fmt::format("the file writes its stages itself (line {}); use one or the other",
                             document.stages.front().where.line));
    return {};
  }
  if (has_preset) return write_out_preset(document, model_groups, train_samples, problems);
  if (document.stages.empty()) {
    problems.add({document.path, 0, {}}, "schedule",
                 "no stages; give [schedule] a preset, or write [[schedule.stage]]");
  }
  for (const auto& [name, where] : document.given) {
    const bool of_preset = name.starts_with("schedule.") && name != "schedule.preset";
    if (of_preset) problems.add(where, name, "is an option of presets, and no preset is given");
  }
  for (const Override& flag : document.stage_overrides) {
    if (flag.key.starts_with(kStagePrefix)) continue;
    problems.add({document.path, 0, flag.key}, "",
                 "is an option of presets, and no preset is given");
  }
  return document.stages;
}

/// Reports options of `[schedule]` that are none of the words they may be.
void refuse_unknown_words(const ConfigurationDocument& document, const MetricNames& metrics,
                          Problems& problems) {
  for (const auto& [name, words] : schedule_choices(metrics)) {
    const auto given = document.given.find(name);
    if (given == document.given.end()) continue;
    Option option = *find_option("schedule", name.substr(name.find('.') + 1));
    option.choices = words;
    const std::string value = std::get<std::string>(option.get(document));
    read_value(option, {value, given->second}, name, problems);
  }
}

std::string name_of(const Setting& stage) {
  const Setting* name = stage.find("name");
  return name ? as_string(*name).value_or("") : "";
}

void apply_override(std::vector<Setting>& stages, const ConfigurationDocument& document,
                    const Override& flag, Problems& problems) {
  if (!flag.key.starts_with(kStagePrefix)) return;
  const std::string rest = flag.key.substr(kStagePrefix.size());
  // Names may hold dots, as groups' names do: of all that fit, the longest is meant.
  Setting* best = nullptr;
  std::vector<std::string> names;
  for (Setting& stage : stages) {
    const std::string name = name_of(stage);
    names.push_back(name);
    if (name.empty() || !rest.starts_with(name + ".")) continue;
    if (!best || name.size() > name_of(*best).size()) best = &stage;
  }
  if (best) {
    override_stage(*best, rest.substr(name_of(*best).size() + 1), flag);
    return;
  }
  const std::string near = nearest_name(rest.substr(0, rest.rfind('.')), names);
  problems.add({document.path, 0, flag.key}, "",
               fmt::format("no stage of this name (there are {}){}", fmt::join(names, ", "),
                           near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near)));
}

void refuse_equal_names(const std::vector<Setting>& stages, Problems& problems) {
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const std::string name = name_of(stages[i]);
    for (std::size_t j = 0; j < i && !name.empty(); ++j) {
      if (name_of(stages[j]) != name) continue;
      problems.add(stages[i].find("name")->where, fmt::format("schedule.stage[{}].name", i),
                   fmt::format("{} is the name of schedule.stage[{}] already", toml_text(name), j));
      break;
    }
  }
}

std::string wrong_warmup(const Curve& curve, std::int64_t length) {
  const std::int64_t warmup = warmup_steps(curve, length);
  if (length == 0 || warmup == 0 || warmup < length) return "";
  return fmt::format("a warm-up of {} steps leaves nothing of {} steps", warmup, length);
}

/// What is wrong with a curve over `steps` steps (0: nobody knows), "" where nothing is. `runs_on`:
/// the stage after goes on with it.
std::string wrong_curve(const Curve& curve, std::int64_t steps, bool runs_on) {
  if (steps == 0 && needs_length(curve)) {
    return fmt::format(
        "{} needs a length, and no number of epochs or steps bounds {}: give curve.steps, or "
        "until.at-most",
        find_curve_shape(curve.shape)->has_end ? curve.shape : "warmup-fraction",
        runs_on ? "all the stages that it runs over" : "this stage");
  }
  std::string wrong = wrong_warmup(curve, steps);
  for (const auto& [group, its] : curve.group_steps) {
    if (wrong.empty()) wrong = wrong_warmup(curve, its);
  }
  return wrong;
}

/// Checks lengths, that curves have one, and that warm-ups fit into it. `settings` are what
/// `stages` were read from. After a stage whose end is open, the place of the next in its epoch is
/// a guess.
void check_lengths(const Schedule& schedule, const std::vector<Setting>& settings,
                   std::int64_t train_samples, std::int64_t batch, Problems& problems) {
  const std::vector<Stage>& stages = schedule.stages;
  std::int64_t cursor = 0;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const Stage& stage = stages[i];
    const std::string subject = fmt::format("schedule.stage[{}]", i);
    const std::string wrong = wrong_length(stage.until, train_samples, batch);
    if (!wrong.empty()) {
      problems.add(settings[i].find("until")->where, subject + ".until", wrong);
      return;
    }
    const auto steps = steps_of_stage(stage.until, cursor, train_samples, batch);
    const std::string objection =
        stage.curve.continued
            ? ""
            : wrong_curve(stage.curve, steps_of_curve(schedule, i, cursor, train_samples, batch),
                          i + 1 < stages.size() && stages[i + 1].curve.continued);
    if (!objection.empty()) {
      problems.add(settings[i].find("curve")->where, subject + ".curve", objection);
    }
    cursor = advance_cursor(cursor, steps.value_or(0), train_samples, batch);
    if (static_cast<double>(cursor) > kMostSamples) {
      problems.add(settings[i].where, subject, "ends after more than 1e15 samples");
      return;
    }
  }
}

const Stage* before(const Schedule& schedule) {
  return schedule.stages.empty() ? nullptr : &schedule.stages.back();
}

}  // namespace

std::map<std::string, std::vector<std::string>> schedule_choices(const MetricNames& metrics) {
  return {{"schedule.preset", preset_names()},
          {"schedule.curve", curve_names()},
          {"schedule.plateau", metrics.all()},
          {"schedule.restore-best", metrics.of_validation()}};
}

Schedule resolve_schedule(const ConfigurationDocument& document,
                          const std::vector<std::string>& model_groups, std::int64_t train_samples,
                          bool has_validation, const MetricNames& metrics,
                          const std::map<std::string, std::string>& aliases) {
  if (model_groups.empty()) throw InputError(document.path + ": the model has no groups");
  if (train_samples < 1) throw InputError(document.path + ": the training split has no samples");
  Problems problems;
  refuse_unknown_words(document, metrics, problems);
  problems.throw_if_any();
  std::vector<Setting> settings = written_stages(document, model_groups, train_samples, problems);
  problems.throw_if_any();
  for (const Override& flag : document.stage_overrides) {
    apply_override(settings, document, flag, problems);
  }
  use_own_names(settings, aliases);
  refuse_equal_names(settings, problems);
  Schedule schedule;
  for (std::size_t i = 0; i < settings.size(); ++i) {
    const StageSurroundings around{model_groups, has_validation, metrics, before(schedule)};
    const auto stage = read_stage(settings[i], i, around, problems);
    if (stage) schedule.stages.push_back(*stage);
  }
  problems.throw_if_any();
  check_lengths(schedule, settings, train_samples, document.configuration.data.batch, problems);
  problems.throw_if_any();
  return schedule;
}

}  // namespace thaw
