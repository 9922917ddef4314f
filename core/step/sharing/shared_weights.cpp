#include "core/step/sharing/shared_weights.h"

#include <ATen/core/Tensor.h>
#include <c10/core/CPUAllocator.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <span>
#include <sstream>
#include <utility>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/progress/notice.h"
#include "core/base/system.h"
#include "core/parallel/communicator.h"
#include "core/step/parameter_table.h"

namespace thaw {
namespace {

constexpr char kNotShared = '!';  ///< begins a reason
constexpr char kDiffers = '=';    ///< begins a parameter's name

using Mapping = std::shared_ptr<MappedPages>;

/// What ends a storage's part of a mapping; by it a shared storage is told from others.
void leave_mapping(void* mapping) { delete static_cast<Mapping*>(mapping); }

bool is_shared(const c10::Storage& storage) {
  return storage.data_ptr().get_deleter() == &leave_mapping;
}

c10::DataPtr part_of(const Mapping& mapping, std::size_t offset) {
  return {mapping->at(offset), new Mapping(mapping), &leave_mapping, c10::Device(c10::kCPU)};
}

/// Puts other memory with the same bytes behind a storage.
void replace(const c10::Storage& storage, c10::DataPtr memory) {
  c10::DataPtr before = storage.set_data_ptr(std::move(memory));
  // The C library keeps what is freed (Note [Freed memory]): give its pages back first.
  if (before.get_deleter() == c10::GetCPUAllocator()->raw_deleter()) {
    give_back_pages(before.mutable_get(), storage.nbytes());
  }
}

c10::DataPtr own_copy(const c10::Storage& storage) {
  c10::DataPtr memory = c10::GetCPUAllocator()->allocate(storage.nbytes());
  std::memcpy(memory.mutable_get(), storage.data(), storage.nbytes());
  return memory;
}

/// Machines of one name are told apart by when they were started.
std::string host_key() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  return host_name() + " " + boot;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace

SharedWeights::SharedWeights(const ParameterTable& parameters, Communicator& communicator)
    : parameters_(parameters), communicator_(communicator) {
  const std::vector<std::string> hosts = communicator.all_gather(host_key());
  const std::string& own = hosts[static_cast<std::size_t>(communicator.rank())];
  leader_ = static_cast<int>(std::find(hosts.begin(), hosts.end(), own) - hosts.begin());
  for (const std::string& host : hosts) {
    const bool several = std::count(hosts.begin(), hosts.end(), host) > 1;
    anywhere_ = anywhere_ || several;
    in_company_ = in_company_ || (several && host == own);
  }
}

SharedWeights::~SharedWeights() = default;

std::vector<SharedWeights::Unit> SharedWeights::units() const {
  std::vector<Unit> units;
  std::map<const void*, std::size_t> place_of;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor& tensor = parameters_.tensors()[i];
    if (!tensor.is_cpu() || tensor.layout() != at::kStrided || !tensor.has_storage()) continue;
    const c10::Storage& storage = tensor.storage();
    const auto [place, is_new] = place_of.try_emplace(storage.unsafeGetStorageImpl(), units.size());
    const ParameterFacts& facts = parameters_.facts()[i];
    if (is_new) units.push_back({facts.name, facts.group, {}, &storage});
    units[place->second].members.push_back(facts.name);
  }
  return units;
}

std::vector<SharedWeights::Unit> SharedWeights::newly_frozen(
    const std::set<std::string>& active) const {
  const std::size_t least = 4 * in_whole_pages(1);
  std::vector<Unit> all = units();
  std::erase_if(all, [&](const Unit& unit) {
    return unit.storage->nbytes() < least || settled_.contains(unit.name) ||
           std::any_of(unit.members.begin(), unit.members.end(),
                       [&](const std::string& name) { return active.contains(name); });
  });
  std::stable_sort(all.begin(), all.end(),
                   [](const Unit& a, const Unit& b) { return a.group < b.group; });
  return all;
}

namespace {

/// Units of one group, which share a file, since they freeze and thaw as one.
template <class Unit>
std::vector<std::span<const Unit>> by_group(const std::vector<Unit>& units) {
  std::vector<std::span<const Unit>> files;
  for (std::size_t begin = 0; begin < units.size();) {
    std::size_t end = begin;
    while (end < units.size() && units[end].group == units[begin].group) ++end;
    files.push_back(std::span(units).subspan(begin, end - begin));
    begin = end;
  }
  return files;
}

/// Equal where ranks mean the same memory in the same order.
template <class Unit>
std::string layout_of(const std::vector<Unit>& units) {
  std::string text;
  for (const Unit& unit : units) {
    text += fmt::format("{} {} {}\n", unit.name, unit.members.size(), unit.storage->nbytes());
  }
  return fingerprint(text).hex();
}

}  // namespace

void SharedWeights::prepare(const std::set<std::string>& active) {
  std::vector<std::pair<std::string, c10::Storage>> wanted;
  for (const Unit& unit : units()) {
    const bool thaws = std::any_of(unit.members.begin(), unit.members.end(),
                                   [&](const auto& name) { return active.contains(name); });
    if (thaws && is_shared(*unit.storage)) wanted.emplace_back(unit.name, *unit.storage);
  }
  if (wanted.empty()) return;
  prepared_ = std::async(std::launch::async, [wanted = std::move(wanted)] {
    lower_priority_of_this_thread();
    OwnMemory copies;
    for (const auto& [name, storage] : wanted) copies.emplace(name, own_copy(storage));
    return copies;
  });
}

void SharedWeights::thaw(const std::set<std::string>& active) {
  OwnMemory ready;
  if (prepared_.valid()) ready = prepared_.get();
  const std::vector<Unit> here = units();
  std::erase_if(settled_, [&](const std::string& name) {
    return std::ranges::none_of(here, [&](const Unit& unit) { return unit.name == name; });
  });
  for (const Unit& unit : here) {
    if (std::none_of(unit.members.begin(), unit.members.end(),
                     [&](const auto& name) { return active.contains(name); })) {
      continue;
    }
    settled_.erase(unit.name);
    if (!is_shared(*unit.storage)) continue;
    auto copy = ready.extract(unit.name);
    replace(*unit.storage, copy.empty() ? own_copy(*unit.storage) : std::move(copy.mapped()));
  }
}

void SharedWeights::freeze(const std::set<std::string>& active) {
  if (!anywhere_) return;
  const std::vector<Unit> frozen = newly_frozen(active);
  if (frozen.empty()) return;  // on all ranks
  for (const Unit& unit : frozen) settled_.insert(unit.name);
  const bool leads = in_company_ && communicator_.rank() == leader_;
  const std::vector<std::string> offers =
      communicator_.all_gather(leads ? offer(frozen) : std::string());
  std::string outcome;
  if (in_company_ && !leads) outcome = take(frozen, offers[static_cast<std::size_t>(leader_)]);
  const std::vector<std::string> outcomes = communicator_.all_gather(outcome);
  written_.clear();
  judge(outcomes);
}

std::string SharedWeights::offer(const std::vector<Unit>& frozen) {
  std::string told = layout_of(frozen) + "\n";
  try {
    for (const std::span<const Unit> file : by_group(frozen)) {
      WrittenPages& pages = written_.emplace_back();
      std::vector<std::size_t> offsets;
      for (const Unit& unit : file) {
        offsets.push_back(pages.append(unit.storage->data(), unit.storage->nbytes()));
      }
      const Mapping mapping = std::make_shared<MappedPages>(pages.ticket());
      told += encode(pages.ticket()) + "\n";
      // File by file, so that there is little twice at any time.
      for (std::size_t i = 0; i < file.size(); ++i) {
        replace(*file[i].storage, part_of(mapping, offsets[i]));
      }
    }
  } catch (const std::exception& error) {
    told += kNotShared + std::string(error.what()) + "\n";
  }
  return told;
}

std::string SharedWeights::take(const std::vector<Unit>& frozen, const std::string& offer) {
  const std::vector<std::string> lines = lines_of(offer);
  try {
    if (lines.empty() || lines.front() != layout_of(frozen)) {
      throw RunError("the ranks' parameters lie differently in memory");
    }
    std::size_t line = 1;
    for (const std::span<const Unit> file : by_group(frozen)) {
      if (line == lines.size()) break;
      if (lines[line].front() == kNotShared) return lines[line];
      const Mapping mapping = std::make_shared<MappedPages>(decode_pages_ticket(lines[line++]));
      std::size_t offset = 0;
      for (const Unit& unit : file) {
        const std::size_t bytes = unit.storage->nbytes();
        if (offset + bytes > mapping->bytes()) throw RunError("fewer pages than were promised");
        if (std::memcmp(mapping->at(offset), unit.storage->data(), bytes) != 0) {
          return kDiffers + unit.name;
        }
        replace(*unit.storage, part_of(mapping, offset));
        offset += in_whole_pages(bytes);
      }
    }
  } catch (const std::exception& error) {
    return kNotShared + std::string(error.what());
  }
  return {};
}

void SharedWeights::judge(const std::vector<std::string>& outcomes) {
  std::string differing, reason;
  for (std::size_t rank = 0; rank < outcomes.size(); ++rank) {
    const std::string& outcome = outcomes[rank];
    if (outcome.empty()) continue;
    if (outcome.front() == kDiffers) {
      differing += fmt::format(
          "  weight {}: rank {} holds other values than the first rank of its "
          "host\n",
          outcome.substr(1), rank);
    } else if (reason.empty()) {
      reason = fmt::format("rank {}: {}", rank, outcome.substr(1));
    }
  }
  if (!differing.empty()) {
    DisagreementError error(fmt::format(
        "weights that freeze are not equal on all ranks\n{}Something wrote there, or a bit flipped "
        "in memory: do not go on from these weights; test the host's memory",
        differing));
    error.mark_agreed();
    throw error;
  }
  if (!reason.empty() && !std::exchange(told_, true) && communicator_.rank() == 0) {
    say(
        fmt::format("thaw: note: frozen weights are not held once a host ({}); each rank has its "
                    "own, as with distributed.share-frozen = \"off\"\n",
                    reason));
  }
}

std::int64_t SharedWeights::bytes() const {
  std::int64_t bytes = 0;
  for (const Unit& unit : units()) {
    if (is_shared(*unit.storage)) bytes += static_cast<std::int64_t>(unit.storage->nbytes());
  }
  return bytes;
}

}  // namespace thaw
