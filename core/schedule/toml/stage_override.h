#pragma once

#include <string>

#include "core/config/setting.h"

namespace thaw {

/// Lays a flag `--schedule.stage.NAME.KEY VALUE` over the stage's table `stage`; `key` is what
/// follows the name. `until.KEY` replaces the whole condition, `until.plateau.patience`
/// and `policy.KEY` change what lies there; `curve.KEY` and `learning-rate.PATTERN` change one
/// entry, a new pattern in front of the others.
void override_stage(Setting& stage, const std::string& key, const Override& flag);

/// Puts the entry in the place of one of the same key, or behind all others.
void set_entry(Setting::Table& table, const Setting::Entry& entry);

}  // namespace thaw
