#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/config/configuration_document.h"
#include "core/schedule/schedule.h"
#include "core/train/training_state.h"

namespace thaw {

/// What a changed option does to a run that goes on.
enum class ChangeEffect {
  kNone,         ///< it may change at any time
  kBits,         ///< the last bits of results differ
  kMathematics,  ///< it would be another training
};

/// Of the option "section.key".
ChangeEffect effect_of_change(const std::string& option);

/// What stands in the way of going on, and what is to be told.
struct ResumeVerdict {
  std::vector<std::string> refusals;  ///< a sentence each; empty: the run may go on
  std::vector<std::string> warnings;  ///< "the bits may differ: ..."
};

/// Compares the options of a run as it was begun with those that it is to go on with. Pure.
ResumeVerdict compare_configurations(const ConfigurationDocument& before,
                                     const ConfigurationDocument& now);

/// Compares the first `begun` stages: those that have been trained in, which are history. Later
/// ones may have been edited, added or removed. Pure.
ResumeVerdict compare_stages(const Schedule& before, const Schedule& now, std::size_t begun);

/// Compares where and on what the run was computed. Pure. `canonical`: by train.reduction =
/// "canonical", whose bits are the same at any number of ranks, and only on one kind of machine.
ResumeVerdict compare_facts(const RunFacts& before, const RunFacts& now, bool canonical = false);

/// `verdicts` taken together. With `deterministic`, what would differ in bits is refused.
/// Throws one InputError that lists all refusals; returns the warnings.
std::vector<std::string> accept_or_refuse(const std::vector<ResumeVerdict>& verdicts,
                                          const std::string& checkpoint, bool deterministic);

}  // namespace thaw
