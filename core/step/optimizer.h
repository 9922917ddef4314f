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

namespace thaw {

class DeviceRates;
struct DeviceScale;
struct TrainOptions;

/// What an optimizer keeps for one parameter, from the first stage that it is active in on.
struct ParameterState {
  at::Tensor step;                ///< the parameter's own step count, float32 scalar on its device
  std::vector<at::Tensor> slots;  ///< shaped like the parameter, in the order of Optimizer::slots
  /// Where the ranks share it out (Note [Sharded state]): whose slice is where. `slots` are this
  /// rank's then, of one dimension, maybe empty; `step` is there on every rank. Empty: it is whole.
  std::vector<std::int64_t> cuts = {};
};

/// Parameters that share a learning rate and a decay: one call of the update rule.
struct OptimizerClass {
  double learning_rate = 0;
  double weight_decay = 0;
  std::vector<std::string> names;
  std::vector<at::Tensor> parameters;  ///< in the order of `names`
  std::vector<std::vector<std::int64_t>> cuts =
      {};  ///< of each, where `parameters` are slices; empty: whole
};

// Note [Own optimizers]
// An optimizer is an update rule over lists of tensors; everything else is the base's: who is
// active, state that stays over stages and travels in checkpoints by names, clipping, parameters
// without a gradient. A rule names the tensors that it keeps for each parameter (slots), reads its
// numbers from the options in force, and updates. Thaw's own are in core/step/optimizers; a
// program gives one of its own as TrainerParts::optimizer:
//   class SignSgd final : public thaw::Optimizer {
//    public:
//     SignSgd() : Optimizer({}) {}  // keeps nothing
//    private:
//     void update(Update& now) override {
//       for (std::size_t i = 0; i < now.parameters.size(); ++i) {
//         now.parameters[i].mul_(1 - now.learning_rate * now.weight_decay);
//         now.parameters[i].sub_(now.gradients[i].sign(), now.learning_rate);
//       }
//     }
//   };

/// Updates the active parameters.
///
/// State is held by parameter name and stays when a parameter freezes, so that it goes on where it
/// was when thawed again; a frozen parameter is in no class and so is not touched at all. A
/// parameter whose `.grad` is undefined in a step is skipped, its step count too, as in PyTorch.
/// One instance a rank, used by the training thread alone; all ranks' are equal.
class Optimizer {
 public:
  using States = std::map<std::string, ParameterState>;

  virtual ~Optimizer();

  /// Names of the tensors that are kept for each parameter. They stand in checkpoints.
  const std::vector<std::string>& slots() const { return slots_; }

  /// Says that these will be active next: allocates their state, and touches its memory, on a
  /// thread beside training, as far as there is room now. Returns at once; the next `enter_stage`
  /// takes what it needs of it, and makes the rest.
  void prepare(const std::vector<std::string>& names, const std::vector<at::Tensor>& parameters);
  /// Waits for what `prepare` began.
  void wait_prepared() const;

  /// Allocates state for those of `parameters` that have none, to be overwritten by the caller with
  /// what a checkpoint holds. `cuts`: of each, where they are slices; empty: they are whole.
  /// `on_host`: slots lie there, wherever the parameters do, until who puts state aside moves them.
  void make_states(const std::vector<std::string>& names, const std::vector<at::Tensor>& parameters,
                   const std::vector<std::vector<std::int64_t>>& cuts = {}, bool on_host = false);

  /// Sets what is updated from now on, by which options (those in force in the stage), and
  /// allocates state for what is active for the first time.
  void enter_stage(std::vector<OptimizerClass> classes, const TrainOptions& options);

  /// Drops the state of parameters, by name, that `stays` is false for: it begins anew in the next
  /// stage in which they are active.
  void forget_unless(const std::function<bool(const std::string&)>& stays);

  /// One update with the learning rate `rates[i]` for class i, on gradients times `gradient_factor`
  /// (the clip factor; `.grad` itself may be scaled on the way).
  void step(const std::vector<double>& rates, double gradient_factor);
  /// The same where clip factor and verdict are known on a GPU alone: parameters, state and counts
  /// stay as they are where the step does not count. Only where `guards_on_device`.
  void step(const std::vector<double>& rates, const DeviceScale& scale);
  bool guards_on_device() const { return kernel_scales_; }

  /// Of a step that was captured and is queued again (Note [Captured steps]): its rates, before it,
  /// and that it has written to all parameters.
  void set_rates(const std::vector<double>& rates);
  void count_writes();

  /// The same with each class's own learning rate times `rate_factor`.
  void step(double rate_factor, double gradient_factor);

  const States& states() const { return states_; }
  /// Puts `state` in the place of what the parameter of this name has.
  void replace_state(const std::string& name, ParameterState state) {
    states_.at(name) = std::move(state);
  }

  /// Whether the rule makes of each element, its gradient and its state what it would make of them
  /// in any other tensor: only then may ranks share the state out (Note [Sharded state]). Not where
  /// it goes by norms, ranks or factors of whole tensors, as LAMB, Muon and Adafactor do.
  virtual bool goes_by_elements() const { return false; }

 protected:
  /// One call of the rule: what of one class has a gradient in this step, in lists of one order.
  struct Update {
    double learning_rate = 0;
    /// float32 scalar that holds it on a GPU, for kernels that read it there (Note [Rates on the
    /// device]). Unset: `learning_rate` is to be used.
    std::optional<at::Tensor> device_rate;
    double weight_decay = 0;
    std::vector<at::Tensor> parameters, gradients;
    std::vector<at::Tensor> steps;               ///< counts, with this step counted
    std::vector<std::vector<at::Tensor>> slots;  ///< of each slot, the tensors of all parameters
    /// By which a fused kernel divides gradients; unset: they are as they are to be used.
    std::optional<at::Tensor> gradient_scale;
    /// float32 scalar: a fused kernel changes nothing where it is 1. Unset: the step counts.
    std::optional<at::Tensor> not_finite;
  };

  /// `slots` start at zero. `kernel_scales`: the rule heeds `Update::gradient_scale`, `not_finite`
  /// and `device_rate`; for others the gradients are scaled before, and the rate is a number.
  explicit Optimizer(std::vector<std::string> slots, bool kernel_scales = false);

  /// A stage begins with these options in force.
  virtual void read(const TrainOptions& options) { static_cast<void>(options); }
  /// Called without gradients being recorded.
  virtual void update(Update& now) = 0;

 private:
  /// `idle`: counts of parameters with a gradient of which this rank has no element.
  Update with_gradients(const OptimizerClass& group, std::vector<at::Tensor>& idle) const;
  void update_counted(Update& now);
  /// Says by which rate class `index` is updated.
  void set_rate(Update& now, std::size_t index, const std::vector<double>& rates) const;
  std::optional<at::Tensor> scale(const std::vector<at::Tensor>& gradients, double factor) const;
  void scale_on_device(Update& now, const at::Tensor& factor) const;

  const std::vector<std::string> slots_;
  const bool kernel_scales_;
  std::vector<OptimizerClass> classes_;
  std::unique_ptr<DeviceRates> device_rates_;  ///< null: kernels get their rates as numbers
  States states_;
  std::future<States> prepared_;  ///< invalid where nothing was prepared
};

}  // namespace thaw
