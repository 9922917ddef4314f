#include "core/data/memory_dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/data/hdf5/byte_store.h"
#include "core/data/hdf5/dataset_attributes.h"
#include "core/parallel/tensor_checks.h"

namespace thaw {

namespace {

constexpr const char* kMemory = "dataset in memory";
/// More classes than this are labels that are no class numbers.
constexpr std::int64_t kMaxClasses = 1 << 22;

/// The bytes of a tensor.
class TensorByteStore final : public ByteStore {
 public:
  explicit TensorByteStore(at::Tensor tensor) : tensor_(std::move(tensor)) {}
  void read(std::int64_t offset, std::int64_t size, std::byte* memory) const override {
    std::copy_n(static_cast<const std::byte*>(tensor_.const_data_ptr()) + offset, size, memory);
  }
  std::string describe() const override { return "in memory"; }

 private:
  at::Tensor tensor_;
};

[[noreturn]] void refuse(const MemorySplit& split, const std::string& what) {
  throw InputError(fmt::format("{}: split \"{}\": {}", kMemory, split.name, what));
}

void require(bool fits, const MemorySplit& split, const char* name, const at::Tensor& tensor,
             const char* wanted) {
  if (fits && tensor.is_cpu() && tensor.is_contiguous()) return;
  refuse(split, fmt::format("{} must be {}, contiguous and on the host, but is {}", name, wanted,
                            describe(tensor)));
}

SampleFormat format_of(const MemorySplit& split) {
  SampleFormat format;
  const at::Tensor& inputs = split.inputs;
  if (split.offsets.defined()) {
    require(inputs.defined() && inputs.scalar_type() == at::kInt && inputs.dim() == 1, split,
            "inputs", inputs, "int32 [tokens]");
    return format;
  }
  const bool known = inputs.defined() && inputs.dim() == 4 && inputs.numel() > 0 &&
                     (inputs.scalar_type() == at::kByte || inputs.scalar_type() == at::kFloat);
  require(known, split, "inputs", inputs, "uint8 or float32 [N, C, H, W]");
  format.kind = DataKind::kImages;
  format.channels = inputs.size(1);
  format.height = inputs.size(2);
  format.width = inputs.size(3);
  format.bytes = inputs.scalar_type() == at::kByte;
  return format;
}

std::vector<std::int64_t> numbers_of(const MemorySplit& split, const char* name,
                                     const at::Tensor& tensor) {
  require(tensor.defined() && tensor.scalar_type() == at::kLong && tensor.dim() == 1, split, name,
          tensor, "int64 with one dimension");
  const auto* first = tensor.const_data_ptr<std::int64_t>();
  return {first, first + tensor.numel()};
}

void check_offsets(const MemorySplit& split, const std::vector<std::int64_t>& offsets,
                   std::size_t samples) {
  const bool whole = offsets.size() == samples + 1 && offsets.front() == 0 &&
                     offsets.back() == split.inputs.numel();
  // Each sample has at least one token, as in files.
  if (!whole ||
      std::adjacent_find(offsets.begin(), offsets.end(), std::greater_equal<>()) != offsets.end()) {
    refuse(split, "offsets must rise from 0 to the number of tokens, one more than labels");
  }
}

void check_labels(const MemorySplit& split, const std::vector<std::int64_t>& labels,
                  std::size_t classes) {
  if (labels.empty()) refuse(split, "holds no samples");
  const auto [least, most] = std::minmax_element(labels.begin(), labels.end());
  if (*least < 0) refuse(split, fmt::format("holds label {}; labels must be >= 0", *least));
  if (*most >= kMaxClasses) {
    refuse(split, fmt::format("holds label {}; labels must be class numbers below {}", *most,
                              kMaxClasses));
  }
  if (classes > 0 && *most >= static_cast<std::int64_t>(classes)) {
    refuse(split, fmt::format("holds label {}, but {} classes are named", *most, classes));
  }
}

std::unique_ptr<Split> make_split(const MemorySplit& split, const SampleFormat& format,
                                  std::size_t classes) {
  std::vector<std::int64_t> labels = numbers_of(split, "labels", split.labels);
  check_labels(split, labels, classes);
  std::vector<std::int64_t> offsets;
  if (format.kind == DataKind::kText) {
    offsets = numbers_of(split, "offsets", split.offsets);
    check_offsets(split, offsets, labels.size());
  } else if (split.inputs.size(0) != static_cast<std::int64_t>(labels.size())) {
    refuse(split,
           fmt::format("holds {} images, but {} labels", split.inputs.size(0), labels.size()));
  }
  Split::Part part;
  part.name = fmt::format("{}: /{}", kMemory, split.name);
  part.layout = "in memory";
  part.samples = static_cast<std::int64_t>(labels.size());
  part.store = std::make_shared<TensorByteStore>(split.inputs);
  std::vector<Split::Part> parts;
  parts.push_back(std::move(part));
  return std::make_unique<Split>(split.name, format, std::move(parts), std::move(labels),
                                 std::move(offsets));
}

}  // namespace

Dataset make_memory_dataset(const std::vector<MemorySplit>& splits,
                            const MemoryDatasetFacts& facts) {
  if (splits.empty()) throw InputError(fmt::format("{}: holds no split", kMemory));
  const SampleFormat format = format_of(splits.front());
  DatasetAttributes attributes{facts.classes, facts.mean, facts.std_deviation, {}};
  check_normalisation(attributes, format, kMemory);
  std::vector<std::unique_ptr<Split>> made;
  std::set<std::string> names;
  std::int64_t largest_label = -1;
  for (const MemorySplit& split : splits) {
    if (!names.insert(split.name).second) refuse(split, "is there twice");
    if (format_of(split) != format) {
      refuse(split,
             fmt::format("holds {}, but \"{}\" holds {}; all splits must be alike",
                         format_of(split).describe(), splits.front().name, format.describe()));
    }
    made.push_back(make_split(split, format, facts.classes.size()));
    const std::span<const std::int64_t> labels = made.back()->labels();
    largest_label = std::max(largest_label, *std::max_element(labels.begin(), labels.end()));
  }
  for (auto i = static_cast<std::int64_t>(facts.classes.size()); i <= largest_label; ++i) {
    attributes.classes.push_back(std::to_string(i));
  }
  return Dataset(kMemory, format, std::move(made), std::move(attributes));
}

}  // namespace thaw
