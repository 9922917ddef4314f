#include "core/models/layers/recomputation.h"

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/module.h>

#include <mutex>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/kernels/flop_counter.h"
#include "core/kernels/random/draw_scope.h"
#include "core/models/module_model.h"

namespace thaw {
namespace {

// Note [Gradient checkpointing]
// A segment is one node of the outer graph, whose inputs are the segment's input and its trainable
// parameters. Its backward runs the segment again from a detached input and asks autograd for
// gradients of that inner graph with respect to these inputs (`grad`, which accumulates nothing),
// and returns them to the outer one. So
// - a segment right behind the frozen prefix, whose input needs no gradient, still is part of the
//   graph through its parameters (a node with the input alone, as in torch's reentrant checkpoint,
//   would not be, and all below and in it would silently not train);
// - the outer graph adds up and accumulates gradients as ever: a reducer's hook fires once a
//   parameter, when all segments that use it are done, and what it sends is complete;
// - no input gradient is computed where the outer graph needs none.
// The inner graph is freed as its backward goes: what is alive at a time is one segment's.

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// LibTorch's generators at one time, that modules of other people may draw from.
class GeneratorStates {
 public:
  explicit GeneratorStates(at::Device device) : generators_{default_of(at::kCPU)} {
    if (!device.is_cpu()) generators_.push_back(default_of(device));
    for (at::Generator& generator : generators_) {
      const std::lock_guard lock(generator.mutex());
      states_.push_back(generator.get_state());
    }
  }

  void restore() {
    for (std::size_t i = 0; i < generators_.size(); ++i) {
      const std::lock_guard lock(generators_[i].mutex());
      generators_[i].set_state(states_[i]);
    }
  }

 private:
  static at::Generator default_of(at::Device device) {
    return at::globalContext().defaultGenerator(device);
  }

  std::vector<at::Generator> generators_;
  std::vector<at::Tensor> states_;
};

/// A segment and what its first run began with and left.
class RepeatableSegment final : public torch::CustomClassHolder {
 public:
  RepeatableSegment(Segment segment, at::Device device)
      : segment_(std::move(segment)), generators_(device) {
    if (const DrawScope* scope = DrawScope::current()) draws_ = scope->state();
  }

  at::Tensor run_first(const at::Tensor& input) {
    const SegmentRun run(kept_, /*again=*/false);
    return segment_(input);
  }

  at::Tensor run_again(const at::Tensor& input) {
    const c10::AutoGradMode recorded(true);
    const FlopKindScope counted_as(FlopKind::kForward);
    const SegmentRun run(kept_, /*again=*/true);
    std::optional<DrawScope> scope;
    if (draws_) scope.emplace(*draws_);
    GeneratorStates now(input.device());
    generators_.restore();
    at::Tensor output = segment_(input);
    now.restore();
    return output;
  }

 private:
  Segment segment_;
  std::optional<DrawScope::State> draws_;
  GeneratorStates generators_;
  SegmentRun::Kept kept_;
};

using SegmentPointer = c10::intrusive_ptr<RepeatableSegment>;

struct Recomputed : torch::autograd::Function<Recomputed> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            at::TensorList parameters, const SegmentPointer& segment) {
    variable_list saved = {input};
    saved.insert(saved.end(), parameters.begin(), parameters.end());
    context->save_for_backward(std::move(saved));  // parameters: to notice a write between the runs
    context->saved_data["segment"] = at::IValue::make_capsule(segment);
    return segment->run_first(input);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto segment = c10::static_intrusive_pointer_cast<RepeatableSegment>(
        context->saved_data["segment"].toCapsule());
    at::Tensor input = saved[0].detach();
    input.set_requires_grad(context->needs_input_grad(0));
    variable_list wanted;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < saved.size(); ++i) {
      if (!context->needs_input_grad(i)) continue;
      places.push_back(i);
      wanted.push_back(i == 0 ? input : saved[i]);
    }
    const at::Tensor output = segment->run_again(input);
    variable_list result(saved.size() + 1);  // the last: of the segment itself, none
    if (!output.requires_grad()) return result;
    const variable_list found = torch::autograd::grad(
        {output}, wanted, gradients, /*retain_graph=*/false, /*create_graph=*/false,
        /*allow_unused=*/true);
    for (std::size_t i = 0; i < found.size(); ++i) result[places[i]] = found[i];
    return result;
  }
};

std::vector<at::Tensor> trainable_parameters(const torch::nn::Module& module) {
  std::vector<at::Tensor> trainable;
  for (const at::Tensor& parameter : module.parameters()) {
    if (parameter.requires_grad()) trainable.push_back(parameter);
  }
  return trainable;
}

thread_local SegmentRun* innermost = nullptr;

}  // namespace

SegmentRun::SegmentRun(Kept& kept, bool again) : kept_(kept), again_(again), outer_(innermost) {
  innermost = this;
}

SegmentRun::~SegmentRun() { innermost = outer_; }

SegmentRun* SegmentRun::current() { return innermost; }

at::Tensor recomputed(const at::Tensor& input, const torch::nn::Module& module, Segment segment) {
  if (!c10::GradMode::is_enabled() || SegmentRun::current() != nullptr) {
    return segment(input);
  }
  const std::vector<at::Tensor> parameters = trainable_parameters(module);
  if (parameters.empty() && !input.requires_grad()) {
    return segment(input);
  }
  if (const std::string other = unshared_batch_norm(module); !other.empty()) {
    throw InputError(fmt::format(
        "module \"{}\" is a batch normalisation that would count its batch twice under gradient "
        "checkpointing; build it as thaw::nn::BatchNorm2d, or leave it out of what is recomputed",
        other));
  }
  return Recomputed::apply(
      input, at::TensorList(parameters),
      c10::make_intrusive<RepeatableSegment>(std::move(segment), input.device()));
}

}  // namespace thaw
