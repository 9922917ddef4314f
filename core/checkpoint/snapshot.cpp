#include "core/checkpoint/snapshot.h"

#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>

namespace thaw {

struct Snapshot::OnGpu {
  explicit OnGpu(at::Device on) : device(on), taken(on.type()) {}

  const at::Device device;
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;  ///< on the GPU, and where they are to go
  mutable c10::Event taken;                               ///< `block` is not const
};

namespace {

/// Undefined where the GPU has no room for it.
at::Tensor copy_beside(const at::Tensor& tensor, std::int64_t& room) {
  if (!tensor.is_cuda() || !take_room(room, static_cast<std::int64_t>(tensor.nbytes()))) return {};
  try {
    return tensor.clone(at::MemoryFormat::Contiguous);
  } catch (const c10::OutOfMemoryError&) {
    return {};
  }
}

/// Whether a copy of `tensor` may go to `memory`. `from_gpu`: while the host does other things.
bool may_hold(const at::Tensor& memory, const at::Tensor& tensor, bool from_gpu) {
  return memory.defined() && memory.sizes() == tensor.sizes() &&
         memory.scalar_type() == tensor.scalar_type() && (!from_gpu || memory.is_pinned());
}

}  // namespace

std::int64_t room_for_copies(std::int64_t within_reach, std::int64_t peak) {
  return std::max<std::int64_t>(within_reach - peak - peak / 8, 0);
}

bool take_room(std::int64_t& room, std::int64_t bytes) {
  if (bytes > room) return false;
  room -= bytes;
  return true;
}

Snapshot::Snapshot() = default;
Snapshot::~Snapshot() = default;

void Snapshot::take(std::span<const NamedTensor> tensors, const std::set<std::string>& constant,
                    std::int64_t room) {
  const c10::AutoGradMode no_grad(false);
  std::map<std::string, at::Tensor> before = std::exchange(memory_, {});
  items_.clear();
  on_gpus_.clear();
  for (const NamedTensor& each : tensors) {
    if (constant.contains(each.name) && each.tensor.is_cpu() && each.tensor.is_contiguous()) {
      items_.push_back({each.name, each.tensor, std::nullopt});
      continue;
    }
    const at::Tensor there = copy_beside(each.tensor, room);
    at::Tensor& copy = memory_[each.name];
    auto known = before.find(each.name);
    if (known != before.end() && may_hold(known->second, each.tensor, there.defined())) {
      copy = std::move(known->second);
    }
    if (!copy.defined() && !there.defined()) {
      // Contiguous, whatever the layout of the source: it is what a file holds.
      copy = at::empty(each.tensor.sizes(),
                       at::TensorOptions(each.tensor.scalar_type()).device(at::kCPU));
    }
    if (!there.defined()) {
      copy.copy_(each.tensor);  // blocks
      items_.push_back({each.name, copy, std::nullopt});
      continue;
    }
    auto place = std::find_if(on_gpus_.begin(), on_gpus_.end(),
                              [&](const auto& one) { return one->device == each.tensor.device(); });
    if (place == on_gpus_.end()) {
      place = on_gpus_.insert(place, std::make_unique<OnGpu>(each.tensor.device()));
    }
    // What `settle` has to allocate is undefined here: pinning takes long.
    (*place)->copies.emplace_back(there, copy);
    items_.push_back({each.name, copy.defined() ? copy : there, std::nullopt});
  }
  for (const auto& one : on_gpus_) {
    one->taken.record(c10::impl::VirtualGuardImpl(one->device.type()).getStream(one->device));
  }
}

void Snapshot::bring(const OnGpu& gpu) {
  const c10::impl::VirtualGuardImpl device(gpu.device.type());
  const c10::Stream stream = device.getStreamFromGlobalPool(gpu.device, /*isHighPriority=*/false);
  const c10::StreamGuard guard(stream);
  gpu.taken.block(stream);
  for (const auto& [from, to] : gpu.copies) to.copy_(from, /*non_blocking=*/true);
  c10::Event done(gpu.device.type());
  done.record(stream);
  done.synchronize();
}

void Snapshot::settle() {
  const c10::AutoGradMode no_grad(false);
  for (SafetensorsItem& item : items_) {
    if (item.tensor.is_cpu()) continue;
    at::Tensor& host = memory_[item.name];
    if (host.defined()) continue;
    host = at::empty(item.tensor.sizes(),
                     at::TensorOptions(item.tensor.scalar_type()).pinned_memory(true));
    for (const auto& gpu : on_gpus_) {
      for (auto& [from, to] : gpu->copies) {
        if (from.is_same(item.tensor)) to = host;
      }
    }
    item.tensor = host;
  }
  for (const auto& gpu : on_gpus_) bring(*gpu);
  on_gpus_.clear();
}

std::int64_t Snapshot::bytes() const {
  std::int64_t bytes = 0;
  for (const SafetensorsItem& item : items_) {
    bytes += static_cast<std::int64_t>(item.tensor.nbytes());
  }
  return bytes;
}

}  // namespace thaw
