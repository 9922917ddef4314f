#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/hash.h"
#include "core/config/choices.h"
#include "core/train/frozen/state_file.h"

namespace thaw {

class Communicator;
class Optimizer;
class ParameterTable;

// Note [State of frozen layers]
// An optimizer's state stays when its parameter freezes, and is of no use until that thaws: on a
// GPU it can wait in host memory, on a host on disk. It stays under its name in the optimizer, as
// tensors that lie elsewhere, so whoever reads it (audits, checkpoints) reads it there and sees the
// same bits. One file holds what froze of one group in one transition: groups freeze and thaw as
// one, so its room is free again as soon as the group is active; all files together are never more
// than the state. A hash goes with each tensor, and what comes back is compared with it.
// All of it together may be more than a GPU takes. So a run that goes on reads it into host memory
// (StateRules::on_host), where its first stage finds it as if it had been put aside, without hashes
// still: what that stage trains comes to the GPU, the rest goes where it waits.

/// What putting state aside came to at a transition, over all ranks.
struct AsideMoves {
  std::int64_t put_aside = 0;     ///< bytes, of what froze
  std::int64_t brought_back = 0;  ///< bytes, of what thaws
  double seconds = 0;             ///< of this rank
};

/// Keeps the optimizer's state of frozen parameters where the user wants it. One instance a run;
/// belongs to the thread that trains.
class FrozenState {
 public:
  /// `folder`: of the run, where files go; of no use for other places.
  FrozenState(FrozenStatePlace place, std::filesystem::path folder)
      : place_(place), folder_(std::move(folder)) {}

  /// A collective, when a stage begins in which the parameters named are active, before their state
  /// is used: brings theirs to where the parameters lie, and puts all other state aside. Throws on
  /// all ranks RunError where that fails, DisagreementError, naming the parameter, where state is
  /// not what was put aside.
  AsideMoves enter_stage(Optimizer& optimizer, const ParameterTable& parameters,
                         const std::set<std::string>& active, Communicator& communicator);

  /// Whether a tensor lies in one of the files.
  bool is_on_disk(const at::Tensor& tensor) const;
  /// Somebody has read all state: what is on disk needs no memory any longer.
  void let_go_of_pages();

 private:
  using Hashes = std::vector<Fingerprint>;  ///< of each slot
  std::int64_t put_aside(Optimizer& optimizer, const std::vector<std::string>& names);
  std::int64_t bring_back(Optimizer& optimizer, const std::string& name);

  const FrozenStatePlace place_;
  const std::filesystem::path folder_;
  std::map<std::string, Hashes> aside_;  ///< by parameter
  std::vector<std::weak_ptr<StateMapping>> files_;
};

}  // namespace thaw
