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
// The last group of a model is its head. A first group called `embeddings` or `stem` has a turn of
// its own (option `embeddings`); the groups between are its layers, of which `groups-per-stage` are
// taken together.
//
// - full: one stage, `full`, with all groups.
// - head-only: one stage, `head`.
// - top-down: `head`; then from the output to the input a stage for the next layers, named after
//   the lowest of them; then `embeddings`; what was thawed stays active (Howard and Ruder, ULMFiT,
//   2018, section 3.3).
// - bottom-up: `embeddings`; then from the input to the output a stage for the next layers, named
//   after the highest of them; what was thawed stays active. The head is active from the first
//   stage, or has the last for itself.
// - chain-thaw: `head` alone; then `embeddings` alone and the layers alone, from the input to the
//   output; then `all` (Felbo and others, 2017, section 3.3: each until it converges, which
//   `plateau` asks for).
// - head-then-all: `head`, then `all` (Kumar and others, LP-FT, 2022), the latter with
//   `final-learning-rate` if given.
// - freeze-out: all are active, and freeze for good one after another from the input on, the first
//   after `freeze-from` of the total length, the head never (Brock and others, FreezeOut, 2017).
//   With a curve that falls, each group's own falls over the time that it has, as there; with
//   `scale-rates` each rate is divided by that time's share, so that the areas are equal. Stages
//   are named after the lowest active group. Lengths are in steps.
// - random, auto-freeze: one stage with the policy of that name (Note [Policies]).
//
// `embeddings = "first"` makes them active from the first stage, `"last"` gives them a stage of
// their own at the end, `"never"` leaves them frozen, in full too.
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

/// "full", "head-only", …
const std::vector<std::string>& preset_names();

/// The stages of the preset that `document.schedule` names, for a model with these groups and so
/// many training samples. Options that a preset has no use for are left aside, so that a flag can
/// exchange it for another. Adds to `problems` where options contradict each other.
std::vector<Setting> write_out_preset(const ConfigurationDocument& document,
                                      const std::vector<std::string>& model_groups,
                                      std::int64_t train_samples, Problems& problems);

}  // namespace thaw
