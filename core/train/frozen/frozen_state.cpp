#include "core/train/frozen/frozen_state.h"

#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/models/model_bytes.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/step/optimizer.h"
#include "core/step/parameter_table.h"

namespace thaw {
namespace {

/// Of the bytes as they lie, on the host.
Fingerprint hash_of(const at::Tensor& tensor) {
  const at::Tensor host =
      (tensor.is_non_overlapping_and_dense() ? tensor : tensor.contiguous()).cpu();
  return fingerprint(host.const_data_ptr(), host.nbytes());
}

/// Whether it is elsewhere than where it is used: put aside, or there since a run was resumed.
bool is_away(const ParameterState& state) {
  return std::ranges::any_of(
      state.slots, [&](const auto& slot) { return slot.device() != state.step.device(); });
}

}  // namespace

AsideMoves FrozenState::enter_stage(Optimizer& optimizer, const ParameterTable& parameters,
                                    const std::set<std::string>& active,
                                    Communicator& communicator) {
  if (place_ == FrozenStatePlace::kDevice) return {};
  const c10::AutoGradMode no_grad(false);
  const Stopwatch watch;
  std::erase_if(aside_, [&](const auto& each) { return !optimizer.states().contains(each.first); });
  std::vector<double> bytes = {0, 0};  // over the ranks: whole numbers, exact
  agreed(communicator, [&] {
    std::map<std::size_t, std::vector<std::string>> freezing;  // by group
    for (const auto& [name, state] : optimizer.states()) {
      if (active.contains(name) || aside_.contains(name) || bytes_of_tensors(state.slots) == 0)
        continue;
      freezing[parameters.facts()[parameters.index_of(name)].group].push_back(name);
    }
    for (const auto& [group, names] : freezing) {
      bytes[0] += static_cast<double>(put_aside(optimizer, names));
    }
    for (const std::string& name : active) {
      const auto state = optimizer.states().find(name);
      if (state == optimizer.states().end()) continue;
      if (!aside_.contains(name) && !is_away(state->second)) continue;
      bytes[1] += static_cast<double>(bring_back(optimizer, name));
    }
  });
  std::erase_if(files_, [](const auto& file) { return file.expired(); });
  let_go_of_pages();  // an audit has read them
  communicator.all_reduce(bytes);
  return {static_cast<std::int64_t>(bytes[0]), static_cast<std::int64_t>(bytes[1]),
          watch.seconds()};
}

std::int64_t FrozenState::put_aside(Optimizer& optimizer, const std::vector<std::string>& names) {
  std::vector<at::Tensor> slots;
  for (const std::string& name : names) {
    const ParameterState& state = optimizer.states().at(name);
    slots.insert(slots.end(), state.slots.begin(), state.slots.end());
  }
  // A step count lies where the parameter is trained: on the host, all stays as it is.
  const bool is_there = std::ranges::all_of(
      names, [&](const auto& name) { return optimizer.states().at(name).step.is_cpu(); });
  if (place_ == FrozenStatePlace::kHost && is_there) return 0;
  std::vector<at::Tensor> kept;
  if (place_ == FrozenStatePlace::kDisk) {
    FileTensors written = written_to_file(folder_, slots);
    kept = std::move(written.tensors);
    files_.push_back(written.mapping);
  } else {
    for (const at::Tensor& slot : slots) kept.push_back(slot.cpu());
  }
  std::int64_t bytes = 0;
  std::size_t next = 0;
  for (const std::string& name : names) {
    const ParameterState& before = optimizer.states().at(name);
    ParameterState after{before.step, {}, before.cuts};
    Hashes hashes;
    for (const at::Tensor& slot : before.slots) {
      hashes.push_back(hash_of(slot));
      after.slots.push_back(kept[next++]);
    }
    bytes += bytes_of_tensors(before.slots);
    optimizer.replace_state(name, std::move(after));
    aside_.emplace(name, std::move(hashes));
  }
  return bytes;
}

std::int64_t FrozenState::bring_back(Optimizer& optimizer, const std::string& name) {
  const ParameterState& before = optimizer.states().at(name);
  const auto hashes = aside_.find(name);  // of what came with a checkpoint there are none
  ParameterState after{before.step, {}, before.cuts};
  for (std::size_t i = 0; i < before.slots.size(); ++i) {
    const at::Tensor& slot = before.slots[i];
    if (hashes != aside_.end() && hash_of(slot) != hashes->second[i]) {
      throw DisagreementError(fmt::format(
          "{} moment of {}: what was put {} when the parameter froze comes back as something else. "
          "A bit flipped there: do not go on from this state; test the host's memory{}",
          optimizer.slots()[i], name,
          place_ == FrozenStatePlace::kDisk ? "on disk" : "into host memory",
          place_ == FrozenStatePlace::kDisk ? " and its disk" : ""));
    }
    after.slots.push_back(slot.to(before.step.device(), slot.scalar_type(), /*non_blocking=*/false,
                                  /*copy=*/true));
  }
  const std::int64_t bytes = bytes_of_tensors(before.slots);
  optimizer.replace_state(name, std::move(after));
  aside_.erase(name);
  return bytes;
}

bool FrozenState::is_on_disk(const at::Tensor& tensor) const {
  return tensor.is_cpu() && std::ranges::any_of(files_, [&](const auto& file) {
           const auto mapping = file.lock();
           return mapping != nullptr && mapping->holds(tensor.const_data_ptr());
         });
}

void FrozenState::let_go_of_pages() {
  for (const std::weak_ptr<StateMapping>& file : files_) {
    if (const auto mapping = file.lock()) mapping->let_go();
  }
}

}  // namespace thaw
