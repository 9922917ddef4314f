#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/config/choices.h"

namespace thaw {

/// What an optimizer keeps for one parameter, from the first stage that it is active in on.
struct ParameterState {
  at::Tensor step;    ///< the parameter's own step count, float32 scalar on its device
  at::Tensor first;   ///< AdamW: mean of gradients; SGD: momentum
  at::Tensor second;  ///< AdamW: mean of squared gradients; SGD: undefined
};

/// Parameters that share a learning rate and a decay: one fused kernel call.
struct OptimizerClass {
  double learning_rate = 0;
  double weight_decay = 0;
  std::vector<std::string> names;
  std::vector<at::Tensor> parameters;  ///< in the order of `names`
};

/// The numbers of the update rule, which a stage may change.
struct OptimizerSettings {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  ///< AdamW
  double momentum = 0.9;                              ///< SGD
  bool nesterov = false;                              ///< SGD
};

/// Updates the active parameters through fused kernels over lists of tensors.
///
/// State is held by parameter name and stays when a parameter freezes, so that it goes on where it
/// was when thawed again; a frozen parameter is in no class and so is not touched at all. A
/// parameter whose `.grad` is undefined in a step is skipped, its step count too, as in PyTorch.
/// Not thread-safe.
class Optimizer {
 public:
  using States = std::map<std::string, ParameterState>;

  virtual ~Optimizer() = default;

  /// Says that these will be active next: allocates their state, and touches its memory, on a
  /// thread beside training. Returns at once; the next `enter_stage` takes what it needs of it.
  void prepare(const std::vector<std::string>& names, const std::vector<at::Tensor>& parameters);

  /// Allocates state for those of `parameters` that have none, to be overwritten by the caller with
  /// what a checkpoint holds.
  void make_states(const std::vector<std::string>& names,
                   const std::vector<at::Tensor>& parameters);

  /// Sets what is updated from now on, and allocates state for what is active for the first time.
  void enter_stage(std::vector<OptimizerClass> classes, OptimizerSettings settings);

  /// Drops the state of parameters, by name, that `stays` is false for: it begins anew in the next
  /// stage in which they are active.
  void forget_unless(const std::function<bool(const std::string&)>& stays);

  /// One update with the learning rate `rates[i]` for class i, on gradients times `gradient_factor`
  /// (the clip factor; `.grad` itself may be scaled on the way).
  void step(const std::vector<double>& rates, double gradient_factor);
  /// The same with each class's own learning rate times `rate_factor`.
  void step(double rate_factor, double gradient_factor);

  const States& states() const { return states_; }

 protected:
  /// The lists of one kernel call: parameters that have a gradient in this step.
  struct Lists {
    std::vector<at::Tensor> parameters, gradients, first, second, steps;
  };

  /// What a parameter starts with: a plain function, since it runs on another thread too.
  using NewState = ParameterState (*)(const at::Tensor& parameter);
  explicit Optimizer(NewState new_state) : new_state_(new_state) {}

  virtual void update(const OptimizerClass& group, Lists& lists, double learning_rate,
                      const std::optional<at::Tensor>& gradient_scale) = 0;

  OptimizerSettings settings_;

 private:
  Lists lists_with_gradients(const OptimizerClass& group) const;

  NewState new_state_;
  std::vector<OptimizerClass> classes_;
  States states_;
  std::future<States> prepared_;  ///< invalid where nothing was prepared
};

/// AdamW (Loshchilov and Hutter 2019: decoupled decay) or SGD (momentum without dampening).
std::unique_ptr<Optimizer> make_optimizer(OptimizerKind kind);

}  // namespace thaw
