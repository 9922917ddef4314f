#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <span>
#include <vector>

namespace thaw {

struct LayerWeights;

// Note [Weights held once]
// A product wants the weights of one layer as one matrix in the product's type. Where the type is
// the parameters' own, that matrix is the parameters: one weight as it lies (Note [Matrix
// products]), several (query, key and value; gate and up) as neighbours in one piece of memory,
// where `lay_together` puts them. So a run in float32 or float64 holds each weight once, frozen or
// not, and a trainable stack costs no copy in each forward. A weight keeps its shape, its values,
// and lies densely: whoever reads, writes or reduces it sees no difference. Where neighbours part
// (somebody moved one by `set_data`: another type or device, a mapping of a file), products go on
// with a stacked copy, kept while all are frozen.
// In bfloat16 a frozen weight is held in float32 and in bfloat16: its bits must come through frozen
// stages into checkpoints and exports, and most of them are no bfloat16 values. A GPU holds the
// bfloat16 alone, 2 bytes and not 6: the trainer moves the float32 of what is frozen to host memory
// until it thaws (Note [Frozen weights in host memory], core/step/sharing/host_weights.h), and
// products on a GPU take weights from there.

/// Lays `weights` [out_i, in] one below the other in one piece of memory, by new storages for the
/// same tensors (`set_data`), unless they lie so already; the values stay. Nothing where types or
/// devices differ. Tensors that share the old storage, detached ones too, no longer follow: call it
/// before anybody has some.
void lay_together(at::TensorList weights);

/// Copies of the weights of a layer on a device, bit for bit; those that lie together
/// (`lay_together`) lie so there. For `set_data`.
std::vector<at::Tensor> copies_on(at::TensorList weights, at::Device device);

/// Weights of one layer as products want them, so that no forward prepares frozen ones again:
/// stacked where they are several, converted. Holds nothing where the weights themselves serve
/// (Note [Weights held once]).
///
/// One instance belongs to the weights of one layer. Not thread-safe.
class PreparedWeights {
 public:
  /// `weights` one below the other, [sum of out_i, in] in `type`, cut off from the graph; what was
  /// prepared for the last one where all are frozen and unchanged (a write in place, or another
  /// storage, is noticed), and where convert_together prepared it. Call it without autograd.
  ///
  /// It lies on `device`, where the product runs. So do the weights, or else they are frozen, lie
  /// in host memory and `device` is a GPU: whatever else lies elsewhere is an error.
  at::Tensor get(at::TensorList weights, at::ScalarType type, at::Device device);

  /// What it keeps of these weights, as they are; undefined: nothing.
  at::Tensor kept_of(at::TensorList weights) const;
  /// Keeps `prepared`, which somebody had from `kept_of` or `get`, as of these weights, which have
  /// the same values still.
  void keep(at::TensorList weights, at::Tensor prepared);

  /// Bytes that it holds beside the weights.
  std::int64_t bytes() const;

  void clear();

 private:
  struct Source {
    at::Tensor weight;
    const void* data;
    std::int64_t version;
  };
  friend void convert_together(std::span<const LayerWeights> layers, at::ScalarType type);

  bool is_of(at::TensorList weights) const;
  /// Forgets what was prepared unless it is of these weights; remembers them.
  void keep_only(at::TensorList weights);

  std::vector<Source> sources_;
  at::Tensor kept_;  ///< undefined: nothing, or the weights themselves
};

/// What one product multiplies by, and where it is kept.
struct LayerWeights {
  PreparedWeights& prepared;
  std::vector<at::Tensor> weights;
};

/// Converts to `type` what is trained of weights on a GPU, by one operation for all layers where
/// each would ask for one of its own; whatever else there is stays for PreparedWeights::get, which
/// takes the copies until the next call or until it sees a weight written to. For the beginning of
/// every forward.
void convert_together(std::span<const LayerWeights> layers, at::ScalarType type);

/// input times the transposes of `weights`, side by side: [rows, in] times [out_i, in] gives
/// [rows, sum of out_i]. No bias: the function that reads the result adds it (Note [Fused
/// kernels]).
///
/// Runs, and returns, in `type`, whatever the input and the weights are in; their gradients are in
/// their own. Backward computes products for those inputs only that need a gradient; a frozen layer
/// that a gradient passes through costs one.
at::Tensor project(const at::Tensor& input, at::TensorList weights, PreparedWeights& prepared,
                   at::ScalarType type);

/// Matrix products for gradients of weights that `project` has computed so far, over all threads:
/// tests count them.
std::int64_t weight_gradient_products();

}  // namespace thaw
