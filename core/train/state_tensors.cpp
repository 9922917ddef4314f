#include "core/train/state_tensors.h"

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/nn/module.h>

#include <map>
#include <mutex>
#include <utility>

#include "core/checkpoint/reader.h"
#include "core/parallel/agreement.h"
#include "core/parallel/slices.h"
#include "core/step/optimizer.h"
#include "core/train/sliced_tensors.h"

namespace thaw {
namespace {

constexpr std::string_view kStep = "optimizer/step/";

std::string own_prefix(int rank) { return fmt::format("rank-{}/", rank); }

/// The device whose generator the model's own modules would draw from.
at::Device device_of(const torch::nn::Module& model) {
  for (const at::Tensor& parameter : model.parameters()) return parameter.device();
  return at::kCPU;
}

struct Source {
  std::string name;
  at::Generator generator;
};

std::vector<Source> sources(const torch::nn::Module& model) {
  std::vector<Source> result = {{"random/cpu", at::globalContext().defaultGenerator(at::kCPU)}};
  const at::Device device = device_of(model);
  if (device.is_cuda()) {
    result.push_back({"random/cuda", at::globalContext().defaultGenerator(device)});
  }
  return result;
}

/// Makes room for the optimizer state that is in the checkpoint: for all of it, or for the slices
/// of even cuts that are this rank's.
void make_states(const CheckpointReader& checkpoint, const torch::nn::Module& model,
                 Optimizer& optimizer, const StateRules& rules) {
  std::vector<std::string> names;
  std::vector<at::Tensor> parameters;
  std::vector<Cuts> all_cuts;
  for (const NamedTensor& each : named_parameters(model)) {
    if (!checkpoint.entries().contains(std::string(kStep) + each.name)) continue;
    names.push_back(each.name);
    if (!rules.sharded) {
      parameters.push_back(each.tensor);
      continue;
    }
    const auto unit = kSliceBytes / static_cast<std::int64_t>(each.tensor.element_size());
    const Cuts cuts = even_cuts(each.tensor.numel(), rules.ranks, unit);
    const auto own = static_cast<std::size_t>(rules.rank);
    parameters.push_back(flat(each.tensor, cuts[own], cuts[own + 1]));
    all_cuts.push_back(cuts);
  }
  optimizer.make_states(names, parameters, all_cuts, rules.on_host);
}

std::string slot_name(const std::string& slot, const std::string& parameter) {
  return fmt::format("optimizer/{}/{}", slot, parameter);
}

/// A tensor of optimizer state that a checkpoint has, or this rank is to have, in slices.
struct SlotPlace {
  std::string name;  ///< of the whole, in a checkpoint
  std::size_t slot;
  const ParameterState* state;

  std::int64_t elements() const {
    return state->cuts.empty() ? state->slots[slot].numel() : state->cuts.back();
  }
  void fill(const at::Tensor& whole, int rank) const {
    at::Tensor target = state->slots[slot];
    if (state->cuts.empty()) {
      target.copy_(whole.view(target.sizes()));
      return;
    }
    const auto own = static_cast<std::size_t>(rank);
    target.copy_(whole.narrow(0, state->cuts[own], target.numel()));
  }
};

}  // namespace

std::vector<NamedTensor> replicated_state(const torch::nn::Module& model,
                                          const Optimizer& optimizer, bool buffers) {
  std::vector<NamedTensor> tensors;
  for (const NamedTensor& each : named_parameters(model)) {
    tensors.push_back({"weights/" + each.name, each.tensor});
  }
  if (buffers) {
    for (const NamedTensor& each : named_buffers(model)) {
      tensors.push_back({"buffers/" + each.name, each.tensor});
    }
  }
  for (const auto& [name, state] : optimizer.states()) {
    tensors.push_back({std::string(kStep) + name, state.step});
    for (std::size_t i = 0; state.cuts.empty() && i < state.slots.size(); ++i) {
      tensors.push_back({slot_name(optimizer.slots()[i], name), state.slots[i]});
    }
  }
  return tensors;
}

std::vector<NamedTensor> own_state(const torch::nn::Module& model, const Optimizer& optimizer,
                                   int rank, bool buffers) {
  std::vector<NamedTensor> tensors;
  for (Source& source : sources(model)) {
    const std::lock_guard lock(source.generator.mutex());
    tensors.push_back({own_prefix(rank) + source.name, source.generator.get_state()});
  }
  for (const auto& [name, state] : optimizer.states()) {
    if (state.cuts.empty()) continue;
    const auto own = static_cast<std::size_t>(rank);
    for (std::size_t i = 0; i < state.slots.size(); ++i) {
      if (state.slots[i].numel() == 0) continue;
      tensors.push_back(
          {slice_name(state.cuts[own], state.cuts[own + 1], slot_name(optimizer.slots()[i], name)),
           state.slots[i]});
    }
  }
  if (buffers) {
    for (const NamedTensor& each : named_buffers(model)) {
      tensors.push_back({own_prefix(rank) + "buffers/" + each.name, each.tensor});
    }
  }
  return tensors;
}

std::map<std::string, at::Tensor> tensors_under(const std::string& prefix,
                                                const CheckpointReader& checkpoint,
                                                const torch::nn::Module& model) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, entry] : checkpoint.entries()) {
    if (!name.starts_with(prefix)) continue;
    tensors.emplace(name.substr(prefix.size()), checkpoint.load(name).to(device_of(model)));
  }
  return tensors;
}

void restore_state(const CheckpointReader& checkpoint, torch::nn::Module& model,
                   Optimizer& optimizer, const StateRules& rules) {
  const c10::AutoGradMode no_grad(false);
  make_states(checkpoint, model, optimizer, rules);
  const SlicedTensors slices(checkpoint);
  // What is in slices, here or there, goes its own way; a slot is one or the other in a checkpoint.
  std::vector<NamedTensor> whole = replicated_state(model, optimizer, rules.buffers);
  std::erase_if(whole, [&](const NamedTensor& each) { return slices.contains(each.name); });
  std::vector<SlotPlace> apart;
  for (const auto& [name, state] : optimizer.states()) {
    for (std::size_t i = 0; i < state.slots.size(); ++i) {
      const std::string slot = slot_name(optimizer.slots()[i], name);
      if (!state.cuts.empty() || slices.contains(slot)) apart.push_back({slot, i, &state});
    }
  }
  for (const SlotPlace& place : apart) slices.check(place.name, place.elements());
  checkpoint.load(whole);
  for (const SlotPlace& place : apart) place.fill(slices.load(place.name), rules.rank);
  // All ranks read all of it, since each read is a collective; each keeps what is its own.
  const bool same_ranks = checkpoint.manifest().ranks == rules.ranks;
  const std::string mine = own_prefix(same_ranks ? rules.rank : 0);
  std::map<std::string, at::Tensor> own;
  for (const auto& [name, entry] : checkpoint.entries()) {
    if (!name.starts_with("rank-")) continue;
    at::Tensor tensor = checkpoint.load(name);
    if (name.starts_with(mine)) own.emplace(name.substr(mine.size()), std::move(tensor));
  }
  for (Source& source : sources(model)) {
    const auto found = own.find(source.name);
    if (found == own.end()) continue;
    const std::lock_guard lock(source.generator.mutex());
    source.generator.set_state(found->second);
  }
  if (rules.buffers) return;
  for (const NamedTensor& each : named_buffers(model)) {
    if (const auto found = own.find("buffers/" + each.name); found != own.end()) {
      at::Tensor(each.tensor).copy_(found->second);
    }
  }
}

}  // namespace thaw
