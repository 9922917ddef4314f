#include "core/data/memory_dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/data/counted_tokens.h"
#include "core/data/hdf5/byte_store.h"
#include "core/data/hdf5/dataset_attributes.h"
#include "core/data/label_names.h"
#include "core/parallel/tensor_checks.h"

namespace thaw {

namespace {

constexpr const char* kMemory = "dataset in memory";

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
    format.pairs = split.types.defined();
    format.counts_bytes = split.bytes.defined();
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

template <class Number>
std::vector<Number> elements_of(const at::Tensor& tensor) {
  const auto* first = tensor.const_data_ptr<Number>();
  return {first, first + tensor.numel()};
}

std::vector<std::int32_t> column_of(const MemorySplit& split, const char* name,
                                    const at::Tensor& tensor, std::int64_t count) {
  require(tensor.scalar_type() == at::kInt && tensor.dim() == 1 && tensor.numel() == count, split,
          name, tensor, "int32, one each");
  return elements_of<std::int32_t>(tensor);
}

/// Those that only text has, or none at all.
Labels text_labels_of(const MemorySplit& split, const std::vector<std::int64_t>& offsets) {
  const std::int64_t samples = static_cast<std::int64_t>(offsets.size()) - 1;
  if (split.token_labels.defined()) {
    return Labels(TokenClasses{
        column_of(split, "token_labels", split.token_labels, split.inputs.numel()), offsets});
  }
  if (!split.prompt_lengths.defined()) {
    return Labels(PromptLengths{
        .lengths = std::vector<std::int64_t>(static_cast<std::size_t>(samples), 0), .said = false});
  }
  const std::vector<std::int32_t> lengths =
      column_of(split, "prompt_lengths", split.prompt_lengths, samples);
  return Labels(PromptLengths{{lengths.begin(), lengths.end()}});
}

std::vector<std::int32_t> bytes_of(const MemorySplit& split, const Labels& labels) {
  if (!split.bytes.defined()) return {};
  if (labels.type() != LabelType::kPrompts) refuse(split, "bytes are of prompts and running text");
  std::vector<std::int32_t> bytes = column_of(split, "bytes", split.bytes, labels.size());
  if (std::any_of(bytes.begin(), bytes.end(), [](auto count) { return count < 0; })) {
    refuse(split, "bytes must be >= 0");
  }
  return bytes;
}

Labels labels_of(const MemorySplit& split) {
  const at::Tensor& tensor = split.labels;
  const bool defined = tensor.defined();
  const bool classes = defined && tensor.scalar_type() == at::kLong && tensor.dim() == 1;
  const bool flags = defined && tensor.scalar_type() == at::kByte && tensor.dim() == 2;
  const bool values =
      defined && tensor.scalar_type() == at::kFloat && (tensor.dim() == 1 || tensor.dim() == 2);
  require(classes || flags || values, split, "labels", tensor,
          "int64 [N], uint8 [N, C], or float32 [N] or [N, K]");
  if (tensor.numel() == 0) refuse(split, "holds no samples");
  const std::int64_t width = tensor.dim() == 2 ? tensor.size(1) : 1;
  Labels labels = classes ? Labels(elements_of<std::int64_t>(tensor))
                  : flags ? Labels(elements_of<std::uint8_t>(tensor), width)
                          : Labels(elements_of<float>(tensor), width);
  return labels;
}

void require_one_kind_of_labels(const MemorySplit& split) {
  const int kinds = int{split.labels.defined()} + int{split.token_labels.defined()} +
                    int{split.prompt_lengths.defined()};
  if (kinds > 1) refuse(split, "has more than one of labels, token_labels and prompt_lengths");
}

std::vector<std::int8_t> types_of(const MemorySplit& split) {
  const at::Tensor& types = split.types;
  require(types.scalar_type() == at::kChar && types.sizes() == split.inputs.sizes(), split, "types",
          types, "int8, as many as tokens");
  std::vector<std::int8_t> values = elements_of<std::int8_t>(types);
  if (std::any_of(values.begin(), values.end(), [](auto type) { return type < 0; })) {
    refuse(split, "types must be >= 0");
  }
  return values;
}

std::unique_ptr<Split> make_split(const MemorySplit& split, const SampleFormat& format) {
  require_one_kind_of_labels(split);
  const bool text = format.kind == DataKind::kText;
  std::vector<std::int64_t> offsets;
  if (text) offsets = numbers_of(split, "offsets", split.offsets);
  const bool by_text = text && !split.labels.defined();
  if (by_text && offsets.size() < 2) refuse(split, "holds no samples");
  Labels labels = by_text ? text_labels_of(split, offsets) : labels_of(split);
  const std::int64_t samples = labels.size();
  if (text) {
    check_offsets(split, offsets, static_cast<std::size_t>(samples));
  } else if (split.inputs.size(0) != samples) {
    refuse(split, fmt::format("holds {} images, but {} labels", split.inputs.size(0), samples));
  }
  const std::string objection = labels.objection(offsets);
  if (!objection.empty()) refuse(split, objection);
  if (split.inputs.is_floating_point()) {
    const at::Tensor bad = split.inputs.isfinite().logical_not().flatten(1).any(1);
    if (bad.any().item<bool>()) {
      refuse(split, fmt::format("sample {} of inputs holds a value that is no number or infinite",
                                bad.to(at::kByte).argmax().item<std::int64_t>()));
    }
  }
  Split::Part part;
  part.name = fmt::format("{}: /{}", kMemory, split.name);
  part.layout = "in memory";
  part.samples = samples;
  part.store = std::make_shared<TensorByteStore>(split.inputs);
  std::vector<Split::Part> parts;
  parts.push_back(std::move(part));
  std::vector<std::int32_t> bytes = bytes_of(split, labels);
  auto made = std::make_unique<Split>(
      split.name, format, std::move(parts), std::move(labels), std::move(offsets),
      format.pairs ? types_of(split) : std::vector<std::int8_t>(), std::move(bytes));
  require_counted_tokens(*made, fmt::format("{}: split \"{}\"", kMemory, split.name));
  return made;
}

}  // namespace

Dataset make_memory_dataset(const std::vector<MemorySplit>& splits,
                            const MemoryDatasetFacts& facts) {
  if (splits.empty()) throw InputError(fmt::format("{}: holds no split", kMemory));
  const SampleFormat format = format_of(splits.front());
  DatasetAttributes attributes{.classes = facts.classes,
                               .targets = facts.targets,
                               .task = facts.task,
                               .mean = facts.mean,
                               .std_deviation = facts.std_deviation,
                               .remarks = {}};
  check_normalisation(attributes, format, kMemory);
  require_distinct(attributes.classes, fmt::format("{}: classes", kMemory));
  require_distinct(attributes.targets, fmt::format("{}: targets", kMemory));
  std::vector<std::unique_ptr<Split>> made;
  std::set<std::string> names;
  LabelNames label_names;
  for (const MemorySplit& split : splits) {
    if (!names.insert(split.name).second) refuse(split, "is there twice");
    if (format_of(split) != format) {
      refuse(split,
             fmt::format("holds {}, but \"{}\" holds {}; all splits must be alike",
                         format_of(split).describe(), splits.front().name, format.describe()));
    }
    made.push_back(make_split(split, format));
    label_names.add(made.back()->labels(), attributes,
                    fmt::format("{}: split \"{}\"", kMemory, split.name));
  }
  label_names.complete(attributes);
  return Dataset(kMemory, format, std::move(made), std::move(attributes));
}

}  // namespace thaw
