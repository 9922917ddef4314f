#pragma once

#include <filesystem>
#include <string>

#include "core/base/fact.h"

namespace thaw {

/// What runs of one comparison must have in common, out of all that a run is: data, network and
/// weights as they are, versions of Thaw and LibTorch; not which build of them.
Facts common_facts(const Facts& facts);

/// What differs between the facts of a comparison's beginning and those of now, a line each; "" for
/// nothing. Pure.
std::string changed_facts(const Facts& before, const Facts& now);

/// Whether a finished run, by what it kept, is one of what is compared now. One that kept nothing,
/// as those of earlier versions, is taken for it.
bool run_is_of(const std::filesystem::path& run_folder, const Facts& common);

}  // namespace thaw
