#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/hash.h"

namespace torch::nn {
class Module;
}

namespace thaw {

class BatchNorms;
class Communicator;
class DeviceHash;
class Optimizer;
class ParameterTable;

/// Compares weights, BatchNorm statistics and optimizer state over the ranks, by their hashes:
/// finds a bit that flipped in one rank's memory, and whatever else makes ranks part silently.
///
/// Tensors that nothing may change in a stage (frozen weights, their optimizer state, the
/// statistics of frozen BatchNorms) are also compared with what this rank itself had when the stage
/// began. Of optimizer state that ranks share out (Note [Sharded state]) there is nothing to
/// compare with but that. See Note [What an audit costs] in audit.cpp. Belongs to the training
/// thread.
class Audit {
 public:
  struct Settings {
    /// Whose buffers are compared: BatchNorms whose statistics are equal on all ranks. Null: none.
    /// (Other modules' buffers may rightly differ from rank to rank.)
    const BatchNorms* batch_norms = nullptr;
    bool frozen_statistics_stay = true;  ///< those of frozen BatchNorms keep their values
  };

  /// Everything is borrowed.
  Audit(const torch::nn::Module& model, const ParameterTable& parameters,
        const Optimizer& optimizer, Communicator& communicator, Settings settings);
  ~Audit();

  /// A stage has ended: keeps what was found, and lets go of tensors that move to other ranks or
  /// are dropped. `enter_stage` comes next.
  void leave_stage();

  /// A stage begins whose optimizer state is there; the parameters named are active. What the last
  /// audit found is what the frozen rest has to stay; the statistics of frozen BatchNorms if
  /// `frozen_statistics_stay`.
  void enter_stage(const std::set<std::string>& active, bool frozen_statistics_stay);
  void enter_stage(const std::set<std::string>& active) {
    enter_stage(active, settings_.frozen_statistics_stay);
  }

  /// A collective. Throws DisagreementError on all ranks, naming tensors and ranks, where something
  /// is not as it should be; `when` begins the message ("step 100 of stage ...").
  void check(const std::string& when);

  /// Of the last check.
  std::size_t tensors() const { return items_.size(); }
  std::int64_t bytes() const { return bytes_; }

 private:
  struct Item {
    std::string name;
    at::Tensor tensor;
    bool constant = false;              ///< in this stage
    bool slice = false;                 ///< this rank's own, of state that ranks share out
    std::optional<Fingerprint> before;  ///< when the stage began; only of what is constant
    Fingerprint hash;                   ///< at the last check
    bool hashed = false;                ///< `hash` is that of what stands there
    bool hashed_on_gpu = false;         ///< by another function: see DeviceHash
  };
  std::vector<Item> list_items(const std::set<std::string>& active) const;
  void hash_items();
  [[noreturn]] void search(const std::string& when);
  /// A collective: which slices have changed that must not, a line each; "" for none.
  std::string changed_slices();

  const torch::nn::Module& model_;
  const ParameterTable& parameters_;
  const Optimizer& optimizer_;
  Communicator& communicator_;
  Settings settings_;
  std::vector<Item> items_;
  std::unique_ptr<DeviceHash> on_gpu_;  ///< of those items that lie on a GPU; null until needed
  std::int64_t bytes_ = 0;
};

}  // namespace thaw
