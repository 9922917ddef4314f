#include "launch/identity/input_agreement.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <vector>

#include "core/base/error.h"
#include "core/base/system.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/parallel/fact_agreement.h"
#include "launch/identity/program_identity.h"

namespace thaw {
namespace {

/// A collective: "rank 0 on host a, ranks 1-3 on host b".
std::string places_of_ranks(Communicator& communicator) {
  std::vector<std::string> names;  // in the order of their first ranks
  std::map<std::string, std::vector<int>> ranks_of;
  const std::vector<std::string> hosts = communicator.all_gather(host_name());
  for (std::size_t rank = 0; rank < hosts.size(); ++rank) {
    std::vector<int>& ranks = ranks_of[hosts[rank]];
    if (ranks.empty()) names.push_back(hosts[rank]);
    ranks.push_back(static_cast<int>(rank));
  }
  std::vector<std::string> places;
  places.reserve(names.size());
  for (const std::string& name : names) {
    places.push_back(fmt::format("{} on host {}", rank_list(ranks_of[name]), name));
  }
  return fmt::format("{}", fmt::join(places, ", "));
}

/// A collective, as agree_on_facts, with hosts and remedy in the message and an error of this kind.
template <class Failure>
void agree_or_throw(Communicator& communicator, const std::string& what, const Facts& facts,
                    const std::string& remedy) {
  try {
    agree_on_facts(communicator, what, facts);
  } catch (const DisagreementError& error) {
    if (!error.agreed()) throw;
    Failure located(
        fmt::format("{}\n({}); {}", error.what(), places_of_ranks(communicator), remedy));
    located.mark_agreed();
    throw located;
  }
}

}  // namespace

void agree_on_inputs(Communicator& communicator, const std::string& what, const Facts& facts,
                     const std::string& remedy) {
  agree_or_throw<InputError>(communicator, what, facts, remedy);
}

void agree_on_program(Communicator& communicator) {
  if (communicator.size() == 1) return;
  agree_or_throw<DisagreementError>(communicator, "programs", program_facts(),
                                    "start the same build of thaw, with the same LibTorch, on all");
}

}  // namespace thaw
