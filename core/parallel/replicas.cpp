#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/nn/module.h>

#include <string>
#include <unordered_map>

#include "core/base/fact.h"
#include "core/parallel/agreement.h"
#include "core/parallel/fact_agreement.h"
#include "core/parallel/stage_coordinator.h"

namespace thaw {

namespace {

/// Facts of tensors of one kind, and who is tied to whom among those before.
class FactWriter {
 public:
  void add(const char* kind, std::span<const NamedTensor> tensors) {
    std::string before = "none";
    for (const auto& [name, tensor] : tensors) {
      facts_.push_back({name, "kind", kind});
      facts_.push_back({name, "shape", fmt::format("[{}]", fmt::join(tensor.sizes(), ", "))});
      facts_.push_back({name, "type", c10::toString(tensor.scalar_type())});
      facts_.push_back({name, "device", c10::DeviceTypeName(tensor.device().type(), true)});
      const auto [first, is_new] = name_of_.try_emplace(tensor.unsafeGetTensorImpl(), name);
      facts_.push_back({name, "tied to", is_new ? "none" : first->second});
      // The order, told by neighbours: what is missing changes one such fact, not all.
      facts_.push_back({name, "tensor before it", before});
      before = name;
    }
  }

  Facts take() { return std::move(facts_); }

 private:
  Facts facts_;
  std::unordered_map<const void*, std::string> name_of_;
};

std::vector<NamedTensor> defined_of(const torch::OrderedDict<std::string, torch::Tensor>& tensors) {
  std::vector<NamedTensor> result;
  for (const auto& item : tensors) {
    if (item.value().defined()) result.push_back({item.key(), item.value()});
  }
  return result;
}

}  // namespace

Facts replica_facts(std::span<const NamedTensor> parameters, std::span<const NamedTensor> buffers) {
  FactWriter writer;
  writer.add("parameter", parameters);
  writer.add("buffer", buffers);
  return writer.take();
}

void broadcast_tensors(Communicator& communicator, std::span<const NamedTensor> tensors, int root) {
  if (communicator.size() == 1) return;
  const c10::AutoGradMode no_grad(false);
  for (const NamedTensor& named : tensors) {
    at::Tensor tensor = named.tensor;
    at::Tensor sent = tensor.detach().cpu().contiguous();
    communicator.broadcast(sent, root);
    if (sent.data_ptr() != tensor.data_ptr()) tensor.copy_(sent);
  }
}

void make_replicas(Communicator& communicator, std::span<const NamedTensor> parameters,
                   std::span<const NamedTensor> buffers) {
  agree_on_facts(communicator, "parameters and buffers", replica_facts(parameters, buffers));
  broadcast_tensors(communicator, parameters);
  broadcast_tensors(communicator, buffers);
}

void make_replicas(Communicator& communicator, const torch::nn::Module& module) {
  make_replicas(communicator, named_parameters(module), named_buffers(module));
}

std::vector<NamedTensor> named_parameters(const torch::nn::Module& module) {
  return defined_of(module.named_parameters());
}

std::vector<NamedTensor> named_buffers(const torch::nn::Module& module) {
  return defined_of(module.named_buffers());
}

}  // namespace thaw
