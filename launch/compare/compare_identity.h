#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace thaw {

/// Facts by name.
using NamedFacts = std::map<std::string, std::string>;

/// What runs of one comparison must have in common, out of all that a run is: data, network and
/// weights as they are, versions of Thaw and LibTorch; not which build of them.
NamedFacts common_facts(const NamedFacts& facts);

/// What differs between the facts of a comparison's beginning and those of now, a line each; "" for
/// nothing. Pure.
std::string changed_facts(const NamedFacts& before, const NamedFacts& now);

/// Whether a finished run, by what it kept, is one of what is compared now. One that kept nothing,
/// as those of earlier versions, is taken for it.
bool run_is_of(const std::filesystem::path& run_folder, const NamedFacts& common);

}  // namespace thaw
