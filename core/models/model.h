#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace thaw {

struct Batch;
struct LayerWeights;
struct WeightNaming;

/// A named set of parameters that freezes and thaws as one. Patterns are globs over the module's
/// own parameter and buffer names (`*` matches dots too); "!" in front takes out what it matches.
struct ParameterGroup {
  std::string name;
  std::vector<std::string> patterns;
};

/// A network that runs group by group from input to output, so that everything before the
/// backward cut can run without autograd.
///
/// Rows of the result are samples, [n, classes], or what else its task asked for (OutputRows,
/// core/models/family.h).
class Model : public torch::nn::Module {
 public:
  /// From input to output; every parameter belongs to exactly one.
  virtual const std::vector<ParameterGroup>& groups() const = 0;

  /// What freezes and thaws as one: `groups()`, or else groups of the user's own at any grain, over
  /// several of the model's or within one. Their order is that of schedules.
  const std::vector<ParameterGroup>& freezing_groups() const {
    return freezing_groups_.empty() ? groups() : freezing_groups_;
  }
  /// Throws InputError where they do not hold every parameter once (see resolve_groups).
  void set_freezing_groups(std::vector<ParameterGroup> groups);

  /// Other names that schedules may use for groups of `groups()`, where this model has in one what
  /// others have in two: {"head", "embeddings"} where these are one tensor.
  virtual std::map<std::string, std::string> group_aliases() const { return {}; }
  bool has_own_freezing_groups() const { return !freezing_groups_.empty(); }

  /// Runs groups [first, last). `input` is what group `first - 1` returned, undefined for
  /// first == 0; the result of the last group is the model's.
  virtual at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                         const Batch& batch) = 0;

  /// Whether each group reads, in `run`, parameters of groups up to itself alone. Then what happens
  /// to those of later ones while it runs does not matter (Note [Updates on their way]). A model
  /// that runs as a whole, or may look anywhere, does not say so.
  virtual bool groups_read_their_own() const { return false; }

  at::Tensor forward(const Batch& batch) { return run(0, groups().size(), at::Tensor(), batch); }

  /// What decides the function that the tensors are part of, besides the options of [model], by
  /// name and as text: activation, epsilons, heads. Written beside the weights and compared with
  /// those that are read (Note [Model descriptions]).
  virtual std::map<std::string, std::string> settings() const { return {}; }

  /// How weight files by others name this model's tensors (core/models/weights/weight_naming.h).
  virtual WeightNaming weight_naming() const;

  /// The type that matrix products and convolutions run in: `at::kFloat` over float32 weights, or
  /// `at::kBFloat16` over float32 weights (train.precision = "bfloat16"; norms, softmax and loss
  /// stay float32). A model in float64 is converted by `to(at::kDouble)` instead. Throws InputError
  /// where the model does not have it.
  void set_precision(at::ScalarType compute);
  /// As it was set.
  at::ScalarType precision() const { return compute_; }

  /// Those weights that `run` reads by way of PreparedWeights and in no other way, and where each
  /// layer keeps what it has prepared of them; none, unless a model says so. In a run in bfloat16
  /// on a GPU they need not lie there while they are frozen (Note [Frozen weights in host memory]).
  virtual std::vector<LayerWeights> product_weights();

  /// Whether what lies inside a layer is dropped after forward and computed again in backward
  /// (train.gradient-checkpointing; core/models/layers/recomputation.h): gradients stay the same.
  /// Throws InputError where it is to be on and the model does not have it.
  virtual void set_gradient_checkpointing(bool on);

  /// Whether all that a training step on a GPU asks it for follows from the lengths and sizes of a
  /// batch, and from the epoch, through LibTorch's kernels and Thaw's: then the host can ask for it
  /// once and have it repeated (Note [Captured steps]).
  virtual bool repeats_itself() const { return false; }
  /// Where it does: whether of texts it follows from the number of their samples and tokens and the
  /// longest that kernels are launched for (DeviceRows) alone, while the samples' lengths are read
  /// on the GPU; and whether each sample's output is a row of its own, whatever others there are.
  /// Then batches of many lengths are filled up to classes of sizes (Note [Size classes]).
  virtual bool reads_lengths_there() const { return false; }

  /// Whether backward of any batch of training reaches every parameter that is active, one without
  /// samples included: then it makes the same calls in the same order on every rank (Note [Sums
  /// within backward on a GPU] in dist/reduction/sending/step_senders.cpp). A model that calls
  /// others' code, or leaves layers out, does not say so.
  virtual bool reaches_every_parameter() const { return false; }

  /// Called whenever weights were loaded, moved, or a stage began: a model drops or rebuilds what
  /// it derives from frozen weights (bfloat16 copies, packed weights). Tells every layer that keeps
  /// such (core/models/layers/derived_weights.h); a model that does so itself adds its own.
  virtual void weights_changed();

 protected:
  /// Whether products can run in bfloat16 over float32 weights.
  virtual bool has_bfloat16() const { return false; }

  /// What products with weights of `type` run in: as set_precision said, else that type.
  at::ScalarType product_type(at::ScalarType type) const {
    return compute_ == at::kFloat ? type : compute_;
  }

 private:
  std::vector<ParameterGroup> freezing_groups_;  ///< empty: as `groups()`
  at::ScalarType compute_ = at::kFloat;
};

}  // namespace thaw
