#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/kernels/project.h"

namespace thaw {

class Model;
class ParameterTable;

// Note [Frozen weights in host memory]
// In a run in bfloat16 on a GPU, what products read of a frozen weight is its bfloat16
// (PreparedWeights). So when a weight freezes it is converted once, and the parameter's data go to
// host memory (`set_data`, as Module::to does it): 2 bytes of the GPU's are left of 6. When it
// thaws, they come back bit for bit, before a reducer, optimizer state or graphs are made for it;
// copies of them are made beside the last steps of the stage before, and until the transition stand
// for the parameters where memory like theirs is made. Within a stage no parameter moves: an
// audit's hashes, a reducer and graphs may count on where each lies, and the bfloat16 stays where
// graphs read it.
// - Only what products alone read goes (Model::product_weights): of layers all of whose weights are
//   frozen, each of which is of one layer. Tables, norms, biases and convolutions stay; and so does
//   the model's first parameter, which is what tells on which device a model lies.
// - Whoever reads parameters finds a tensor on the CPU: checkpoints and files write it as it lies,
//   hashes of audits are the host's (and begin anew at a transition in which it moved), a write is
//   noticed by its version and the bfloat16 made again from it.
// - An audit hashes the float32, from which the weights go on; the bfloat16, in which a stage
//   computes, it has never seen.
// - Ranks of one host hold the float32 once, as on CPUs (Note [Frozen weights once a host]). Each
//   brings its own there first, so they go and are shared in pieces: the host has room for one
//   network, not for one a rank.
// - A model has to fit its GPU in float32 once, when the run begins.
// When the trainer is done, all is brought back. Where there is no room, the run ended by an error
// and the GPU may not answer, or it was asked to stop and has little time, weights stay, and
// products take them from there.

/// Which frozen weights of a model lie in host memory while it computes on a GPU. Belongs to the
/// training thread.
class HostWeights {
 public:
  /// Everything is borrowed. Weights that lie elsewhere than `gpu` are brought there. Tests may
  /// give the CPU's: then all is the same but where memory is.
  HostWeights(Model& model, const ParameterTable& parameters, c10::Device gpu);
  /// Brings back what can be, unless `leave_there` was called.
  ~HostWeights();
  HostWeights(const HostWeights&) = delete;
  HostWeights& operator=(const HostWeights&) = delete;

  /// Says that these parameters will be active next: copies what is to come of them to the GPU,
  /// which the host waits for. False: there is no room for that before the transition.
  bool prepare(const std::set<std::string>& active);
  /// After `prepare`, of a parameter that will be active: the copy that is to be its data, which
  /// lies where it will; else itself.
  at::Tensor as_thawed(const at::Tensor& parameter) const;

  /// Brings back what these parameters need, to be called before they are made trainable. What the
  /// GPU has of others is kept until `settle`, whatever Model::weights_changed drops.
  void thaw(const std::set<std::string>& active);
  /// All but these are frozen from now on: moves what may go, as many layers as have `most` bytes,
  /// but one at least. True: there are more, for another call.
  bool freeze(const std::set<std::string>& active,
              std::int64_t most = std::numeric_limits<std::int64_t>::max());
  /// Ends a transition, once weights have been shared too: layers have what the GPU keeps of them.
  void settle();

  /// Nothing shall be brought back in the end.
  void leave_there() { leave_there_ = true; }

  /// Of float32 that lies in host memory now.
  std::int64_t bytes() const;
  /// That the GPU holds less of weights while these parameters are active.
  std::int64_t bytes_saved(const std::set<std::string>& active) const;

 private:
  struct Layer {
    LayerWeights product;
    std::vector<std::string> names;
    bool away = false;
    std::vector<at::Tensor> coming;      ///< copies on the GPU
    at::Tensor rounded;                  ///< what products multiply by, within a transition
    std::vector<std::int64_t> versions;  ///< of the weights, when one of these was made
  };

  static bool thaws(const Layer& layer, const std::set<std::string>& active);
  static bool unwritten(const Layer& layer);
  void bring_back(Layer& layer);

  const c10::Device gpu_;
  const at::ScalarType type_;  ///< of products
  bool leave_there_ = false;
  std::vector<Layer> layers_;
  struct Place {
    std::size_t layer, weight;
  };
  std::unordered_map<const void*, Place> place_of_;  ///< by the tensor
};

/// Null unless the model computes in bfloat16 on a GPU and has weights that may go.
std::unique_ptr<HostWeights> host_weights_of(Model& model, const ParameterTable& parameters);

}  // namespace thaw
