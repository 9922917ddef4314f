#include "core/checkpoint/reader.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "core/base/json_fields.h"
#include "core/checkpoint/durable_file.h"
#include "core/models/weights/safetensors_header.h"
#include "core/parallel/agreement.h"

namespace thaw {
namespace {

constexpr std::uint64_t kLongestText = 1 << 30;

/// What `make` returns on rank 0, on every rank; what it throws there, too.
template <class Make>
std::string from_rank_0(Communicator& communicator, const Make& make) {
  std::string text =
      agreed(communicator, [&] { return communicator.rank() == 0 ? make() : std::string(); });
  return communicator.broadcast(std::move(text), /*root=*/0);
}

std::string describe(const std::vector<SafetensorsFile>& files) {
  nlohmann::json list = nlohmann::json::array();
  for (const SafetensorsFile& file : files) {
    for (const SafetensorsEntry& entry : file.entries()) {
      list.push_back({entry.name, safetensors_dtype(entry.dtype), entry.shape});
    }
  }
  return list.dump();
}

const SafetensorsEntry* find_in(const std::vector<SafetensorsFile>& files, const std::string& name,
                                const SafetensorsFile*& holder) {
  for (const SafetensorsFile& file : files) {
    if (const SafetensorsEntry* entry = file.find(name)) {
      holder = &file;
      return entry;
    }
  }
  return nullptr;
}

}  // namespace

CheckpointReader::CheckpointReader(std::filesystem::path folder, Communicator& communicator)
    : folder_(std::move(folder)), communicator_(communicator) {
  const std::string text = from_rank_0(communicator, [&] {
    read_manifest(folder_);
    return read_small_file(folder_ / kManifestFile, kLongestManifest);
  });
  manifest_ = agreed(communicator,
                     [&] { return parse_manifest(text, (folder_ / kManifestFile).string()); });
  const std::vector<FileRecord>& files = manifest_.files;
  state_ =
      from_rank_0(communicator, [&] { return read_verified(folder_, files[0], kLongestText); });
  configuration_ =
      from_rank_0(communicator, [&] { return read_verified(folder_, files[1], kLongestText); });
  const auto ranks = static_cast<std::size_t>(communicator.size());
  agreed(communicator, [&] {
    for (std::size_t i = 2; i < files.size(); ++i) {
      if ((i - 2) % ranks != static_cast<std::size_t>(communicator.rank())) continue;
      verify_file(folder_, files[i]);
      shards_.emplace_back((folder_ / files[i].name).string());
    }
  });
  const std::vector<std::string> all = communicator.all_gather(describe(shards_));
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    for (const nlohmann::json& each : nlohmann::json::parse(all[rank])) {
      const auto name = each.at(0).get<std::string>();
      entries_[name] = {name, safetensors_scalar_type(each.at(1).get<std::string>()),
                        whole_number<std::vector<std::int64_t>>(each.at(2)),
                        static_cast<int>(rank)};
    }
  }
}

CheckpointReader::~CheckpointReader() = default;

void CheckpointReader::check(std::span<const NamedTensor> tensors) const {
  std::string wrong;
  int count = 0;
  for (const NamedTensor& each : tensors) {
    const auto found = entries_.find(each.name);
    std::string what;
    if (found == entries_.end()) {
      what = "is not in it";
    } else if (found->second.shape != each.tensor.sizes().vec()) {
      what = fmt::format("has shape [{}] in it, here [{}]", fmt::join(found->second.shape, ", "),
                         fmt::join(each.tensor.sizes(), ", "));
    } else if (found->second.dtype != each.tensor.scalar_type()) {
      what = fmt::format("is {} in it, here {}", safetensors_dtype(found->second.dtype),
                         safetensors_dtype(each.tensor.scalar_type()));
    }
    if (!what.empty() && count++ < 5) wrong += fmt::format("\n  {} {}", each.name, what);
  }
  if (count == 0) return;
  InputError error(fmt::format("{}: holds another model than the configuration's{}{}",
                               folder_.string(), wrong,
                               count > 5 ? fmt::format("\n  and {} more", count - 5) : ""));
  error.mark_agreed();  // entries and model are the same on all ranks
  throw error;
}

at::Tensor CheckpointReader::load(const std::string& name) const {
  const Entry& entry = entries_.at(name);
  const SafetensorsFile* file = nullptr;
  const SafetensorsEntry* mine = find_in(shards_, name, file);
  at::Tensor tensor = mine != nullptr ? file->copy(*mine) : at::empty(entry.shape, entry.dtype);
  if (tensor.numel() > 0) communicator_.broadcast(tensor, entry.reader);
  return tensor;
}

void CheckpointReader::load(std::span<const NamedTensor> tensors) const {
  check(tensors);
  const c10::AutoGradMode no_grad(false);
  for (const NamedTensor& each : tensors) at::Tensor(each.tensor).copy_(load(each.name));
}

std::unique_ptr<CheckpointReader> open_newest(const CheckpointStore& store,
                                              Communicator& communicator,
                                              std::vector<RejectedCheckpoint>& rejected) {
  const std::string list = from_rank_0(communicator, [&] {
    nlohmann::json names = nlohmann::json::array();
    for (const CheckpointPlace place : store.places()) names.push_back(folder_name(place));
    return names.dump();
  });
  const auto names = nlohmann::json::parse(list).get<std::vector<std::string>>();
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    try {
      return std::make_unique<CheckpointReader>(store.path() / *name, communicator);
    } catch (const InputError& error) {
      if (!error.agreed()) throw;
      rejected.push_back({parse_folder_name(*name).value(), error.what()});
    }
  }
  return nullptr;
}

}  // namespace thaw
