#include "dist/reduction/reduction_fault.h"

#include <optional>

#include "core/parallel/agreement.h"
#include "core/parallel/gradient_reducer.h"

namespace thaw {

void agree_on_fault(Communicator& communicator, const std::string& local_fault) {
  std::optional<LocalFailure> failure;
  if (!local_fault.empty()) failure = {ExitStatus::kDisagreement, local_fault};
  try {
    agree(communicator, failure);
  } catch (const DisagreementError& error) {
    ReductionMismatch mismatch(error.what());
    mismatch.mark_agreed();
    throw mismatch;
  }
}

}  // namespace thaw
