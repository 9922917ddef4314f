#include "core/data/order/batch_plan.h"

#include <algorithm>
#include <stdexcept>

#include "core/base/numbers.h"

namespace thaw {
namespace {

void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

}  // namespace

GlobalBatch next_global_batch(std::int64_t cursor, std::int64_t samples, std::int64_t batch) {
  require(cursor >= 0, "next_global_batch: cursor must be >= 0");
  require(samples > 0, "next_global_batch: samples must be > 0");
  require(batch > 0, "next_global_batch: batch must be > 0");
  const std::int64_t first = cursor % samples;
  // Not min(first + batch, samples): that sum may overflow.
  return {cursor / samples, {first, first + std::min(batch, samples - first)}};
}

std::int64_t batches_left_in_epoch(std::int64_t cursor, std::int64_t samples, std::int64_t batch) {
  const GlobalBatch next = next_global_batch(cursor, samples, batch);
  const std::int64_t left = samples - next.positions.first;
  return left / batch + (left % batch != 0 ? 1 : 0);
}

SampleRange balanced_piece(SampleRange whole, std::int64_t index, std::int64_t pieces) {
  require(whole.first <= whole.last, "balanced_piece: the range must not be reversed");
  require(index >= 0 && index < pieces, "balanced_piece: index must be in [0, pieces)");
  const auto [first, last] = balanced_split(whole.size(), index, pieces);
  return {whole.first + first, whole.first + last};
}

SampleRange samples_of_shards(SampleRange whole, ShardRange own, std::int64_t shards) {
  require(own.first >= 0 && own.first <= own.last && own.last <= shards,
          "samples_of_shards: there are no such shards");
  if (own.size() == 0) return {whole.first, whole.first};
  return {balanced_piece(whole, own.first, shards).first,
          balanced_piece(whole, own.last - 1, shards).last};
}

std::vector<SampleRange> micro_batches(std::int64_t samples, std::int64_t limit) {
  require(samples >= 0, "micro_batches: samples must be >= 0");
  require(limit >= 0, "micro_batches: limit must be >= 0");
  std::vector<SampleRange> result;
  if (samples == 0) return result;
  const std::int64_t pieces = limit == 0 ? 1 : (samples - 1) / limit + 1;
  result.reserve(pieces);
  for (std::int64_t i = 0; i < pieces; ++i) {
    result.push_back(balanced_piece({0, samples}, i, pieces));
  }
  return result;
}

std::vector<SampleRange> micro_batches_by_tokens(std::span<const std::int64_t> offsets,
                                                 std::int64_t limit) {
  require(limit > 0, "micro_batches_by_tokens: limit must be > 0");
  require(!offsets.empty(), "micro_batches_by_tokens: offsets must hold the end");
  std::vector<SampleRange> result;
  const auto samples = static_cast<std::int64_t>(offsets.size()) - 1;
  for (std::int64_t first = 0; first < samples; first = result.back().last) {
    const std::int64_t begin = offsets[static_cast<std::size_t>(first)];
    const auto too_far = std::find_if(offsets.begin() + first + 2, offsets.end(),
                                      [&](std::int64_t end) { return end - begin > limit; });
    result.push_back({first, too_far - offsets.begin() - 1});
  }
  return result;
}

}  // namespace thaw
