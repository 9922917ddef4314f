#include "core/train/sliced_tensors.h"

#include <ATen/ops/cat.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <charconv>
#include <functional>
#include <numeric>
#include <optional>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/checkpoint/reader.h"

namespace thaw {
namespace {

constexpr std::string_view kSlices = "slices/";

[[noreturn]] void refuse(const CheckpointReader& checkpoint, const std::string& what) {
  InputError error(fmt::format("{}: {}", checkpoint.folder().string(), what));
  error.mark_agreed();  // all ranks know all entries
  throw error;
}

std::int64_t elements_of(const CheckpointReader::Entry& entry) {
  return std::accumulate(entry.shape.begin(), entry.shape.end(), std::int64_t{1},
                         std::multiplies<>());
}

struct ParsedName {
  std::int64_t first = 0, last = 0;
  std::string tensor;
};

/// Of "slices/FIRST-LAST/TENSOR"; nothing where it is none.
std::optional<ParsedName> parse(std::string_view name) {
  if (!name.starts_with(kSlices)) return std::nullopt;
  name.remove_prefix(kSlices.size());
  ParsedName parsed;
  const auto number = [&](std::int64_t& value, char behind) {
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), value);
    const auto length = static_cast<std::size_t>(end - name.data());
    if (error != std::errc() || length >= name.size() || *end != behind) return false;
    name.remove_prefix(length + 1);
    return true;
  };
  if (!number(parsed.first, '-') || !number(parsed.last, '/') || parsed.last < parsed.first) {
    return std::nullopt;
  }
  parsed.tensor = name;
  return parsed;
}

}  // namespace

std::string slice_name(std::int64_t first, std::int64_t last, const std::string& tensor) {
  return fmt::format("{}{}-{}/{}", kSlices, first, last, tensor);
}

SlicedTensors::SlicedTensors(const CheckpointReader& checkpoint) : checkpoint_(checkpoint) {
  for (const auto& [name, entry] : checkpoint.entries()) {
    const std::optional<ParsedName> slice = parse(name);
    if (!slice) continue;
    if (entry.shape.size() != 1 || elements_of(entry) != slice->last - slice->first) {
      refuse(checkpoint, fmt::format("\"{}\" has {} elements, not the {} that its name says", name,
                                     elements_of(entry), slice->last - slice->first));
    }
    slices_[slice->tensor].emplace(slice->first, name);
  }
}

void SlicedTensors::check(const std::string& tensor, std::int64_t elements) const {
  const auto whole = checkpoint_.entries().find(tensor);
  if (whole != checkpoint_.entries().end()) {
    if (elements_of(whole->second) == elements) return;
    refuse(checkpoint_, fmt::format("{} has {} elements in it, here {}", tensor,
                                    elements_of(whole->second), elements));
  }
  const auto found = slices_.find(tensor);
  if (found == slices_.end()) refuse(checkpoint_, tensor + " is not in it, whole or in slices");
  std::int64_t end = 0;
  const CheckpointReader::Entry& first = checkpoint_.entries().at(found->second.begin()->second);
  for (const auto& [begin, name] : found->second) {
    const CheckpointReader::Entry& entry = checkpoint_.entries().at(name);
    if (begin != end) {
      refuse(checkpoint_,
             begin > end ? fmt::format("the slice of {} that holds elements {} to {} is missing",
                                       tensor, end, begin - 1)
                         : fmt::format("slices of {} hold elements {} to {} twice", tensor, begin,
                                       end - 1));
    }
    if (entry.dtype != first.dtype) {
      refuse(checkpoint_, fmt::format("slices of {} are of different types", tensor));
    }
    end = begin + elements_of(entry);
  }
  if (end != elements) {
    refuse(checkpoint_,
           end < elements
               ? fmt::format("the slice of {} that holds elements {} to {} is missing", tensor, end,
                             elements - 1)
               : fmt::format("{} has {} elements in it, here {}", tensor, end, elements));
  }
}

at::Tensor SlicedTensors::load(const std::string& tensor) const {
  const c10::AutoGradMode no_grad(false);
  const auto found = slices_.find(tensor);
  if (found == slices_.end()) return checkpoint_.load(tensor).flatten();
  std::vector<at::Tensor> parts;
  for (const auto& [begin, name] : found->second) parts.push_back(checkpoint_.load(name));
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

}  // namespace thaw
