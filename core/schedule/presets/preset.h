#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/configuration_document.h"
#include "core/config/problems.h"

namespace thaw {

// Note [Presets]
// A preset is shorthand: it is written out as the stages that a user could have written, as
// settings, and these are read like a file's. What a preset does can therefore always be edited,
// and the flags `--schedule.stage.NAME.KEY` reach its stages too.
//
// Each preset is one file in this folder (or a few that are a line each), which says what its
// stages are; each policy is one too (core/schedule/policies/). Nothing else knows them by name but
// the list in presets.inc.
//
// The last group of a model is its head. A first group called `embeddings` or `stem` has a turn of
// its own (option `embeddings`); the groups between are its layers, of which `groups-per-stage` are
// taken together. `embeddings = "first"` makes them active from the first stage, `"last"` gives
// them a stage of their own at the end, `"never"` leaves them frozen, in full too.
//
// Lengths, in epochs or in steps: `stage-…` is each stage's, and a total beside it makes the last
// stage last until then. A total alone is shared out: evenly, and where whole epochs or steps do
// not divide, later stages get the rest. Without either a stage lasts an epoch. With `plateau`, a
// metric, that is the most: a stage ends once the metric no longer gets better.
//
// Rates: `learning-rate` is that of the head, or, where `head-learning-rate` is given, of the
// group below it; each group further down has the rate of the one above over `discriminative`.
// `final-learning-rate` takes the place of both in the stage `all`.
//
// `curve-at-transition = "continue"` makes one curve of all stages'.
//
// The tables `curve`, `until` and `policy` of `[schedule]`, and flags `--schedule.curve.KEY`, are
// laid over what each stage would have there. So keys that an option has no name for, as those of a
// curve, a trigger or a policy that was added, need none: `until = { samples = 10000 }`.

class PresetWriter;

/// One entry of the list of presets.
struct Preset {
  const char* name;
  /// The stages, by what the writer knows of options and model.
  std::vector<Setting> (*write)(PresetWriter& writer);
};

/// "full", "head-only", …, in the order in which messages list them; the policies' last.
const std::vector<std::string>& preset_names();

/// The stages of the preset that `document.schedule` names, for a model with these groups and so
/// many training samples. Options that a preset has no use for are left aside, so that a flag can
/// exchange it for another. Adds to `problems` where options contradict each other.
std::vector<Setting> write_out_preset(const ConfigurationDocument& document,
                                      const std::vector<std::string>& model_groups,
                                      std::int64_t train_samples, Problems& problems);

}  // namespace thaw
