#include "core/train/state_tensors.h"

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/nn/module.h>

#include <map>
#include <mutex>

#include "core/checkpoint/reader.h"
#include "core/parallel/agreement.h"
#include "core/step/optimizer.h"

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

/// Names and parameters with optimizer state in the checkpoint.
void make_states(const CheckpointReader& checkpoint, const torch::nn::Module& model,
                 Optimizer& optimizer) {
  std::vector<std::string> names;
  std::vector<at::Tensor> parameters;
  for (const NamedTensor& each : named_parameters(model)) {
    if (!checkpoint.entries().contains(std::string(kStep) + each.name)) continue;
    names.push_back(each.name);
    parameters.push_back(each.tensor);
  }
  optimizer.make_states(names, parameters);
}

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
    for (std::size_t i = 0; i < state.slots.size(); ++i) {
      tensors.push_back(
          {fmt::format("optimizer/{}/{}", optimizer.slots()[i], name), state.slots[i]});
    }
  }
  return tensors;
}

std::vector<NamedTensor> own_state(const torch::nn::Module& model, int rank, bool buffers) {
  std::vector<NamedTensor> tensors;
  for (Source& source : sources(model)) {
    const std::lock_guard lock(source.generator.mutex());
    tensors.push_back({own_prefix(rank) + source.name, source.generator.get_state()});
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
                   Optimizer& optimizer, int rank, int ranks, bool buffers) {
  const c10::AutoGradMode no_grad(false);
  make_states(checkpoint, model, optimizer);
  checkpoint.load(replicated_state(model, optimizer, buffers));
  // All ranks read all of it, since each read is a collective; each keeps what is its own.
  const bool same_ranks = checkpoint.manifest().ranks == ranks;
  const std::string mine = own_prefix(same_ranks ? rank : 0);
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
  if (buffers) return;
  for (const NamedTensor& each : named_buffers(model)) {
    if (const auto found = own.find("buffers/" + each.name); found != own.end()) {
      at::Tensor(each.tensor).copy_(found->second);
    }
  }
}

}  // namespace thaw
