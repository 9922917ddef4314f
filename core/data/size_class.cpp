#include "core/data/size_class.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <memory>

#include "core/data/batch.h"

namespace thaw {
namespace {

std::int64_t round_up(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

/// The largest power of two in `value`; 1 where there is none.
std::int64_t power_in(std::int64_t value) {
  return static_cast<std::int64_t>(
      std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(value, 1))));
}

at::Tensor with_zeros(const at::Tensor& tensor, std::int64_t count) {
  return at::cat({tensor, at::zeros({count}, tensor.options())});
}

}  // namespace

SizeClass size_class(std::span<const TextShare> shares, std::int64_t most) {
  std::int64_t longest = 1, largest = 0, smallest = std::numeric_limits<std::int64_t>::max();
  for (const TextShare& share : shares) {
    if (share.tokens == 0) continue;  // nobody fills up nothing
    longest = std::max(longest, share.longest);
    largest = std::max(largest, share.tokens);
    smallest = std::min(smallest, share.tokens);
  }
  SizeClass result;
  const std::int64_t stretch = std::max<std::int64_t>(16, power_in(longest) / 4);
  result.longest = std::min(round_up(longest, stretch), most);
  const std::int64_t step = power_in(largest / 16);
  // As many as take what the smallest share lacks, each of a token and more. What several shares
  // lack differs much, how many take it should not.
  result.fillers = shares.size() > 1 ? 4 : 1;
  const auto fill = [&] { result.tokens = round_up(largest + result.fillers, step); };
  for (fill(); result.tokens - smallest > result.fillers * result.longest; fill()) {
    result.fillers *= 2;
  }
  return result;
}

Batch filled_up(const Batch& batch, const SizeClass& target) {
  const std::int64_t tokens = batch.inputs.numel();
  const std::int64_t missing = target.tokens - tokens;
  Batch result = batch;
  result.size_class = std::make_shared<const SizeClass>(target);
  result.inputs = with_zeros(batch.inputs, missing);
  if (batch.types.defined()) result.types = with_zeros(batch.types, missing);
  result.offsets = at::empty({batch.size() + 1 + target.fillers}, batch.offsets.options());
  result.offsets.narrow(0, 0, batch.size() + 1).copy_(batch.offsets);
  auto* const end = result.offsets.mutable_data_ptr<std::int64_t>() + batch.size();
  for (std::int64_t i = 1; i <= target.fillers; ++i) {
    end[i] = tokens + missing * i / target.fillers;
  }
  // Whose draws they take does not matter.
  result.samples.resize(result.samples.size() + static_cast<std::size_t>(target.fillers),
                        batch.samples.front());
  return result;
}

}  // namespace thaw
