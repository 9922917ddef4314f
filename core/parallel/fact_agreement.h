#pragma once

#include <string>
#include <vector>

#include "core/base/fact.h"
#include "core/parallel/communicator.h"

namespace thaw {

/// A collective: returns where all ranks hold the same facts. Else throws DisagreementError on all
/// ranks: "ranks hold different WHAT: ..." with what differs and on which ranks. Costs 32 bytes a
/// rank where they agree.
void agree_on_facts(Communicator& communicator, const std::string& what, const Facts& facts);

/// What differs between the facts of the ranks, a line each, at most `limit` lines; subjects that a
/// rank lacks altogether come first. Empty where nothing differs. Pure.
std::string describe_differences(const std::vector<Facts>& facts_of, std::size_t limit = 8);

}  // namespace thaw
