#include "core/train/prefix/prefix_key.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/Tensor.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/version.h>

#include <typeinfo>

#include "core/base/hash.h"
#include "core/base/system.h"
#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/data/identity/content_hash.h"
#include "core/data/identity/data_facts.h"
#include "core/kernels/simd/simd.h"
#include "core/models/groups.h"
#include "core/models/model.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/train/trainer.h"

namespace thaw {
namespace {

template <class Number>
std::string hash_of(std::span<const Number> numbers) {
  return fingerprint(numbers.data(), numbers.size_bytes()).hex();
}

/// Of what the samples hold, as it was found out when the run was set up; "" where nobody did, or
/// for other samples.
std::string known_content(const TrainerParts& parts, const Split& split) {
  if (&split.whole() != &split) return {};
  const auto& known = parts.checkpoints.facts.identity;
  const auto found = known.find(split_subject(split.name()) + ": inputs");
  return found == known.end() ? std::string() : found->second;
}

std::string data_text(const TrainerParts& parts, const Split& split) {
  std::string content = known_content(parts, split);
  if (content.empty()) {
    const std::vector<std::int64_t> pieces = content_pieces(split);
    content = content_fingerprint(
                  hash_pieces(split, pieces, 0, std::ssize(pieces) - 1, at::get_num_threads()))
                  .hex();
  }
  return fmt::format("samples {}\ncontent {}\nlengths {}\ntypes {}\nformat {}\nmean {}\nstd {}\n",
                     split.size(), content, hash_of(split.offsets()), hash_of(split.types()),
                     split.format().describe(), fmt::join(parts.dataset.mean(), " "),
                     fmt::join(parts.dataset.std_deviation(), " "));
}

/// What computes, and how it is set.
std::string kernels_text(const TrainerParts& parts) {
  const TrainOptions& train = parts.train;
  std::string text = fmt::format(  // "blocks": how samples are put together for a pass
      "blocks 2\nprecision {}\ncpu {} {}\nsimd {}\nthreads {}\ntorch {}\ndevice {}\ntf32 {}\ncudnn "
      "{} {}\n",
      name_of(train.precision), processor_kind(), at::get_cpu_capability(),
      static_cast<int>(simd_level()), at::get_num_threads(), TORCH_VERSION,
      parts.checkpoints.facts.device, train.tf32, train.cudnn_benchmark, train.deterministic);
  for (const auto& [name, value] : parts.checkpoints.facts.identity) {
    if (name.starts_with("program") || name.starts_with("LibTorch")) {
      text += fmt::format("{} {}\n", name, value);
    }
  }
  return text;
}

void add_tensor(const NamedTensor& named, RunningHash& hash) {
  const at::Tensor tensor = named.tensor.detach().to(at::kCPU).contiguous();
  const std::string text = fmt::format("{} {} {}\n", named.name, at::toString(tensor.scalar_type()),
                                       fmt::join(tensor.sizes(), "x"));
  hash.add(text.data(), text.size());
  hash.add(tensor.const_data_ptr(), tensor.nbytes());
}

/// A text a boundary.
std::vector<std::string> network_texts(const TrainerParts& parts,
                                       std::span<const std::size_t> boundaries) {
  const Model& model = parts.model;
  std::string function = fmt::format("model {}\n", typeid(model).name());
  for (const auto& [name, value] : model.settings()) {
    function += fmt::format("{} {}\n", name, value);
  }
  const std::vector<GroupTensors> groups = resolve_groups(model);
  const at::Tensor first = groups.front().parameters.front().tensor;
  function += fmt::format("on {}\n", first.device().str());
  std::vector<std::string> texts;
  RunningHash hash;
  std::size_t group = 0;
  for (const std::size_t boundary : boundaries) {
    for (; group < boundary; ++group) {
      function += fmt::format("group {}\n", groups[group].name);
      for (const NamedTensor& each : groups[group].parameters) add_tensor(each, hash);
      for (const NamedTensor& each : groups[group].buffers) add_tensor(each, hash);
    }
    texts.push_back(fmt::format("{}weights {}\n", function, hash.value().hex()));
  }
  return texts;
}

}  // namespace

std::vector<std::string> prefix_keys(const TrainerParts& parts, const Split& split,
                                     std::span<const std::size_t> boundaries) {
  std::vector<std::string> keys(boundaries.size());
  agreed(parts.communicator, [&] {
    if (parts.communicator.rank() != 0) return;
    const std::string rest = data_text(parts, split) + kernels_text(parts);
    const std::vector<std::string> networks = network_texts(parts, boundaries);
    for (std::size_t b = 0; b < keys.size(); ++b) keys[b] = networks[b] + rest;
  });
  for (std::string& key : keys) key = parts.communicator.broadcast(key, /*root=*/0);
  return keys;
}

}  // namespace thaw
