#include "core/models/weights/weights.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <fmt/format.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#include "core/base/error.h"
#include "core/base/text_bytes.h"
#include "core/config/configuration.h"
#include "core/models/model.h"
#include "core/models/weights/weight_matching.h"

namespace thaw {
namespace {

std::vector<NamedTensor> tensors_of(const torch::nn::Module& module) {
  std::vector<NamedTensor> tensors;
  for (const auto& item : module.named_parameters()) {
    tensors.push_back({item.key(), item.value()});
  }
  for (const auto& item : module.named_buffers()) {
    tensors.push_back({item.key(), item.value()});
  }
  return tensors;
}

/// Without a branch for each value and without memory, as fast as what was mapped is read.
bool all_finite(const at::Tensor& values) {
  if (values.scalar_type() != at::kFloat || !values.is_contiguous()) {
    return values.isfinite().all().item<bool>();
  }
  constexpr std::uint32_t kExponent = 0x7f800000;  // all of it set: infinite, or no number
  const auto* const bytes = static_cast<const std::byte*>(values.const_data_ptr());
  bool all = true;
  for (std::size_t at = 0; at < values.nbytes(); at += sizeof(std::uint32_t)) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, bytes + at, sizeof(bits));  // a file may lie askew
    all &= (bits & kExponent) != kExponent;
  }
  return all;
}

/// Throws InputError for a value that is no number or infinite. `own`: what will hold it.
void require_finite(const SafetensorsFile& file, const StoredPlace& place, const at::Tensor& own) {
  if (!own.is_floating_point()) return;
  const at::Tensor values = place.view(file).to(own.scalar_type());
  if (all_finite(values)) return;
  const at::Tensor bad = values.isfinite().logical_not().flatten();
  const auto at = bad.to(at::kByte).argmax().item<std::int64_t>();
  throw InputError(
      fmt::format("{}: tensor {}: its value {} of {} is {} as {}; whatever a network computes with "
                  "it is no number: take weights from before that",
                  file.path(), printable(place.entry->name), at, bad.numel(),
                  values.flatten()[at].item<double>(), c10::toString(own.scalar_type())));
}

/// `tensor`, which the model calls `own_name`, in the shape that the library has it in whose name
/// for it is `name`.
at::Tensor in_their_shape(const at::Tensor& tensor, const std::string& own_name,
                          const std::string& name, const WeightNaming& naming) {
  for (const WeightAlias& alias : naming.aliases) {
    const std::optional<std::string> theirs = alias.their_name(own_name);
    if (alias.ones == 0 || !theirs || !name.ends_with(*theirs)) continue;
    std::vector<std::int64_t> shape = tensor.sizes().vec();
    shape.insert(shape.end(), static_cast<std::size_t>(alias.ones), 1);
    return tensor.detach().reshape(shape);
  }
  return tensor;
}

}  // namespace

LoadReport load_weights(torch::nn::Module& module, const SafetensorsFile& file,
                        const WeightNaming& naming, bool new_head) {
  const std::vector<NamedTensor> own = tensors_of(module);
  WeightMatching matching(own, file, naming, new_head);
  if (const std::string& prefix = matching.stranger(); !prefix.empty()) {
    throw InputError(fmt::format(
        "{}: the names of all {} tensors begin with \"{}\", a prefix that the model does not know; "
        "save them without it (Python: {{name.removeprefix(\"{}\"): tensor for name, tensor in "
        "tensors.items()}})",
        file.path(), file.entries().size(), printable(prefix), printable(prefix)));
  }
  matching.throw_misfits();
  const at::NoGradGuard no_grad;
  for (const NamedTensor& item : own) {
    const auto found = matching.found().find(item.name);
    if (found != matching.found().end()) require_finite(file, found->second, item.tensor);
  }
  for (const NamedTensor& item : own) {
    if (const auto found = matching.found().find(item.name); found != matching.found().end()) {
      at::Tensor(item.tensor).copy_(found->second.view(file).reshape(item.tensor.sizes()));
    }
  }
  return matching.take_report();
}

LoadReport load_weights(Model& model, const SafetensorsFile& file, const ModelOptions& options) {
  LoadReport report = load_weights(static_cast<torch::nn::Module&>(model), file,
                                   model.weight_naming(), options.head == HeadSource::kNew);
  model.weights_changed();
  return report;
}

void save_weights(const std::string& path, const torch::nn::Module& module,
                  const WeightNames& names, const ModelDescription& description,
                  const std::vector<NamedTensor>& besides, Lasting lasting) {
  std::vector<SafetensorsItem> items;
  std::map<std::string, std::size_t> places;
  const auto* model = dynamic_cast<const Model*>(&module);
  const WeightNaming naming = model != nullptr ? model->weight_naming() : WeightNaming{};
  for (const NamedTensor& own : tensors_of(module)) {
    const auto known = names.find(own.name);
    const std::string& name = known == names.end() ? own.name : known->second;
    if (name.empty()) {
      continue;
    }
    std::optional<at::ScalarType> stored_as;
    if (own.name.ends_with("num_batches_tracked")) {
      stored_as = at::kLong;  // a module in float64 has it as such too
    } else if (own.tensor.is_floating_point() && own.tensor.scalar_type() != at::kDouble) {
      stored_as = at::kFloat;
    }
    const auto [place, is_new] = places.emplace(name, items.size());
    if (!is_new) {
      at::Tensor& above = items[place->second].tensor;
      above = at::cat({above.detach(), own.tensor.detach()});
      continue;
    }
    items.push_back({name, in_their_shape(own.tensor, own.name, name, naming), stored_as});
  }
  for (const NamedTensor& each : besides) items.push_back({each.name, each.tensor, {}});
  write_safetensors(path, items, description_metadata(description), lasting);
}

}  // namespace thaw
