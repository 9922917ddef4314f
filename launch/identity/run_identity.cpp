#include "launch/identity/run_identity.h"

#include <utility>

#include "core/parallel/communicator.h"
#include "launch/identity/data_identity.h"
#include "launch/identity/input_agreement.h"
#include "launch/identity/kept_identity.h"
#include "launch/identity/program_identity.h"
#include "launch/run/run_setup.h"

namespace thaw {
namespace {

/// A collective: what rank 0 finds there.
KeptIdentity kept_on_rank_0(const std::filesystem::path& path, Communicator& communicator) {
  if (communicator.size() == 1) return read_kept_identity(path);
  std::string text;
  if (communicator.rank() == 0) text = to_json(read_kept_identity(path));
  return kept_identity_from_json(communicator.broadcast(std::move(text), /*root=*/0),
                                 path.string());
}

}  // namespace

RunIdentity run_identity(const RunSetup& setup, const std::filesystem::path& kept,
                         Communicator& communicator, StepMonitor* monitor) {
  DataIdentity data =
      data_identity(setup, kept_on_rank_0(kept, communicator), communicator, monitor);
  agree_on_inputs(communicator, "data", data.facts,
                  "data.file must lead to the same data on all of them");
  Facts facts = program_facts();
  for (const Facts& more : {setup.model_identity, data.facts}) {
    facts.insert(facts.end(), more.begin(), more.end());
  }
  KeptIdentity identity{facts_by_name(facts), std::move(data.splits)};
  std::string text = to_json(identity);
  return {std::move(identity.facts), std::move(text)};
}

}  // namespace thaw
