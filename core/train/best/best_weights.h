#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "core/base/stopwatch.h"

namespace at {
class Tensor;
}

namespace thaw {

class Model;
class ParameterTable;
class StagePlan;

// Note [The best weights wait]
// Where a stage reads what its frozen groups return, an epoch may take a tenth of a second, and
// each evaluation may be the best so far. A file of the whole network for each of them, brought
// onto the disk, takes longer than all else. So making such files takes a tenth of a run's time at
// most: the best that comes too soon after a file waits in memory, as the values that the stage
// changes, and takes the place of one that waits. It is written at the first evaluation that is
// late enough, before a checkpoint, which says that this was the best so far and does not hold it,
// and at the end of the stage, of the run, or of a run that fails. A process that is killed leaves
// the file of an earlier evaluation, and goes on from a checkpoint that is older still. So does a
// run that fails while its state is sharded: the file is written from the model, with the values of
// then in their places, and nobody can tell whether what the other ranks sent of their slices still
// comes in there meanwhile, which would make a file of both. A stage that changes much (kMostBytes)
// writes at once: its epochs are long, and memory may be short.

/// Whether the best weights wait, this long after the last file, which took so many seconds.
/// `changed`: bytes that the stage changes. Pure.
bool best_waits(double seconds_since, double seconds_of_a_file, std::int64_t changed);

/// Bytes of host memory that best weights of a stage take while they wait and as they are written,
/// at most. `in_segments`: a policy chooses which of the plan's parameters a segment changes, and
/// what waits is what the segment changes.
std::int64_t most_waiting(const StagePlan& plan, const Model& model, bool in_segments);

/// The file of a run's best weights, as its stages find better ones. On rank 0; belongs to the
/// training thread.
class BestWeights {
 public:
  struct Settings {
    std::function<void()> save = {};  ///< writes the model as it is; empty: nothing is kept
    bool may_wait = false;
  };
  /// The model and its parameters are borrowed.
  BestWeights(const Model& model, const ParameterTable& parameters, Settings settings);
  ~BestWeights();

  /// A stage begins that changes these parameters alone, and buffers.
  void enter_stage(std::set<std::string> active);
  /// An evaluation was made; `best`: the best so far.
  void evaluated(bool best);
  /// Writes what waits, by the values of then; the model is as it was afterwards.
  void write_waiting();

 private:
  std::vector<at::Tensor> changed() const;
  /// `changed`: tensors as the stage changes them.
  bool may_wait(const std::vector<at::Tensor>& changed) const;
  void write();

  const Model& model_;
  const ParameterTable& parameters_;
  Settings settings_;
  std::set<std::string> active_;
  std::vector<at::Tensor> waiting_;  ///< of `changed`, in its order; empty: nothing waits
  Stopwatch since_;                  ///< the last file, or the run's beginning
  double seconds_of_a_file_;
};

}  // namespace thaw
