#include "core/measure/audit.h"

#include <fmt/format.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/error.h"
#include "core/measure/audit_verdict.h"
#include "core/measure/device_hash.h"
#include "core/models/layers/batch_norm.h"
#include "core/parallel/communicator.h"
#include "core/step/optimizer.h"
#include "core/step/parameter_table.h"

namespace thaw {
namespace {

// Note [What an audit costs]
// Reading everything once: XXH3 is as fast as memory, so for MiniLM with AdamW (90 MB of weights,
// 180 MB of state) some 30 ms, of which every hundredth step takes 0.3 ms where it lasts 150. Over
// the ranks go 17 bytes each: the hash of all hashes, and whether something changed that must not.
// Only where those differ does each rank send its list, 17 bytes a tensor.
// Tensors on a GPU are hashed there: Note [Hashes on a GPU].

Fingerprint hash_of(const at::Tensor& tensor) {
  const at::Tensor dense =
      (tensor.is_non_overlapping_and_dense() ? tensor : tensor.contiguous()).cpu();
  return fingerprint(dense.const_data_ptr(), dense.nbytes());
}

/// "layer1.0.bn1." of "layer1.0.bn1.running_mean".
std::string layer_of(const std::string& name) { return name.substr(0, name.rfind('.') + 1); }

/// Layers that have parameters, all of them frozen.
std::set<std::string> frozen_layers(const ParameterTable& parameters,
                                    const std::set<std::string>& active) {
  std::set<std::string> frozen, partly_active;
  for (const ParameterFacts& parameter : parameters.facts()) {
    (active.contains(parameter.name) ? partly_active : frozen).insert(layer_of(parameter.name));
  }
  for (const std::string& layer : partly_active) {
    frozen.erase(layer);
  }
  return frozen;
}

std::set<const void*> statistics_of(const BatchNorms* batch_norms) {
  std::set<const void*> tensors;
  if (batch_norms != nullptr) {
    for (const nn::BatchNorm* layer : batch_norms->layers()) {
      tensors.insert({layer->running_mean.unsafeGetTensorImpl(),
                      layer->running_var.unsafeGetTensorImpl(),
                      layer->num_batches_tracked.unsafeGetTensorImpl()});
    }
  }
  return tensors;
}

}  // namespace

Audit::Audit(const torch::nn::Module& model, const ParameterTable& parameters,
             const Optimizer& optimizer, Communicator& communicator, Settings settings)
    : model_(model),
      parameters_(parameters),
      optimizer_(optimizer),
      communicator_(communicator),
      settings_(settings),
      items_(list_items({})) {}

void Audit::leave_stage() {
  on_gpu_.reset();
  for (Item& item : items_) item.tensor.reset();
}

void Audit::enter_stage(const std::set<std::string>& active, bool frozen_statistics_stay) {
  settings_.frozen_statistics_stay = frozen_statistics_stay;
  std::map<std::string, Item> known;
  for (Item& item : items_) {
    known.emplace(item.name, std::move(item));
  }
  items_ = list_items(active);
  on_gpu_.reset();
  for (Item& item : items_) {
    const auto found = known.find(item.name);
    // What has gone to host memory meanwhile (distributed.frozen-state, Note [Frozen weights in
    // host memory]), or come from there, has no hash to compare yet, nor has what was active in a
    // stage without a step, as a resumed one may be.
    if (item.constant && found != known.end() && found->second.hashed &&
        found->second.hashed_on_gpu == item.tensor.is_cuda()) {
      item.before = item.hash = found->second.hash;
      item.hashed = true;
      item.hashed_on_gpu = item.tensor.is_cuda();
    }
  }
}

std::vector<Audit::Item> Audit::list_items(const std::set<std::string>& active) const {
  std::vector<Item> items;
  const auto add = [&items](std::string name, const at::Tensor& tensor, bool constant,
                            bool slice = false) {
    if (tensor.defined()) {
      items.push_back({std::move(name), tensor, constant, slice, std::nullopt, {}, false, false});
    }
  };
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const std::string& name = parameters_.facts()[i].name;
    add("weight " + name, parameters_.tensors()[i], !active.contains(name));
  }
  const std::set<std::string> frozen = frozen_layers(parameters_, active);
  const std::set<const void*> statistics = statistics_of(settings_.batch_norms);
  for (const auto& buffer : model_.named_buffers()) {
    if (statistics.contains(buffer.value().unsafeGetTensorImpl())) {
      add("buffer " + buffer.key(), buffer.value(),
          settings_.frozen_statistics_stay && frozen.contains(layer_of(buffer.key())));
    }
  }
  for (const auto& [name, state] : optimizer_.states()) {
    const bool constant = !active.contains(name);
    add("step count of " + name, state.step, constant);
    for (std::size_t i = 0; i < state.slots.size(); ++i) {
      add(optimizer_.slots()[i] + " moment of " + name, state.slots[i], constant,
          !state.cuts.empty());
    }
  }
  return items;
}

Audit::~Audit() = default;

void Audit::hash_items() {
  std::vector<Item*> there;
  for (Item& item : items_) {
    item.hashed = true;
    item.hashed_on_gpu = item.tensor.is_cuda();
    if (item.hashed_on_gpu) {
      there.push_back(&item);
    } else {
      item.hash = hash_of(item.tensor);
    }
  }
  if (there.empty()) return;
  if (on_gpu_ == nullptr) {
    std::vector<at::Tensor> tensors;
    for (const Item* item : there) tensors.push_back(item->tensor);
    on_gpu_ = std::make_unique<DeviceHash>(std::move(tensors));
  }
  const std::vector<Fingerprint> hashes = on_gpu_->hashes();
  for (std::size_t i = 0; i < there.size(); ++i) there[i]->hash = hashes[i];
}

void Audit::check(const std::string& when) {
  hash_items();
  std::vector<Fingerprint> hashes;
  bytes_ = 0;
  bool changed = false;
  for (Item& item : items_) {
    if (!item.slice) hashes.push_back(item.hash);
    bytes_ += static_cast<std::int64_t>(item.tensor.nbytes());
    changed = changed || (item.before && *item.before != item.hash);
  }
  const AuditEntry total{fingerprint(hashes.data(), hashes.size() * sizeof(Fingerprint)), changed};
  const std::string mine = encode(std::span(&total, 1));
  const std::vector<std::string> totals = communicator_.all_gather(mine);
  // All ranks see the same bytes, so all take the same way from here.
  const bool fine = std::all_of(totals.begin(), totals.end(), [&](const std::string& other) {
    return other == totals.front() && !decode_audit_row(other).front().changed;
  });
  if (!fine) {
    search(when);
  }
}

std::string Audit::changed_slices() {
  std::string mine;
  for (const Item& item : items_) {
    if (!item.slice || !item.before || *item.before == item.hash) continue;
    mine += fmt::format("  {}: the slice on rank {} changed while it must not\n", item.name,
                        communicator_.rank());
  }
  std::string all;
  for (const std::string& lines : communicator_.all_gather(mine)) all += lines;
  return all;
}

void Audit::search(const std::string& when) {
  std::vector<AuditEntry> row;
  std::vector<std::string> names;
  for (const Item& item : items_) {
    if (item.slice) continue;
    row.push_back({item.hash, item.before && *item.before != item.hash});
    names.push_back(item.name);
  }
  std::vector<std::vector<AuditEntry>> table;
  for (const std::string& bytes : communicator_.all_gather(encode(row))) {
    table.push_back(decode_audit_row(bytes));
  }
  const std::string slices = changed_slices();
  const bool same_tensors = std::all_of(table.begin(), table.end(), [&](const auto& other) {
    return other.size() == table.front().size();
  });
  DisagreementError error(fmt::format(
      "audit after {}: {}", when,
      same_tensors ? fmt::format("weights are not what they should be\n{}{}"
                                 "Something wrote there, or a bit flipped in memory: do "
                                 "not go on from these weights; test the host's memory",
                                 describe(find_guilty(table), names), slices)
                   : "ranks hold different numbers of tensors"));
  error.mark_agreed();
  throw error;
}

}  // namespace thaw
