#pragma once

#include <functional>
#include <optional>

#include "core/record/folder_lease.h"
#include "core/record/run_folder.h"
#include "launch/run/resume.h"

namespace thaw {

class Communicator;
class StepMonitor;

/// The lease of a run's folder, for a job of several ranks: rank 0 holds it, all know of it.
class RunLease {
 public:
  RunLease(RunFolder folder, Communicator& communicator, StepMonitor& monitor)
      : folder_(std::move(folder)), communicator_(communicator), monitor_(monitor) {}

  /// A collective: whether rank 0 sees the folder.
  bool folder_is_there() const;
  /// A collective: whether it holds a run, on rank 0.
  bool folder_holds_a_run() const;
  /// A collective: whether it could be written to, on rank 0.
  bool folder_is_writable() const;
  /// A collective: makes the folder where it is not there, takes the lease, and removes what killed
  /// runs have left of files that were not complete. Throws InputError where another job holds it.
  void take();

  /// Of no generation before `take`.
  const LeaseClaim& claim() const { return claim_; }

 private:
  RunFolder folder_;
  Communicator& communicator_;
  StepMonitor& monitor_;
  std::optional<FolderLease> lease_;  ///< on rank 0
  LeaseClaim claim_;
};

/// A collective: what `start` comes to with the lease held. It looks at a folder that is there
/// under the lease; one that is not there is made only once `start` has found nothing wrong. A run
/// that is finished needs none where it cannot be written: nothing is left to do there.
RunStart start_leased(RunLease& lease, const std::function<RunStart()>& start);

}  // namespace thaw
