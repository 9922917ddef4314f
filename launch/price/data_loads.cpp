#include "launch/price/data_loads.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

#include "core/data/order/batch_plan.h"
#include "core/data/order/sample_order.h"
#include "core/data/split.h"
#include "core/schedule/stage_length.h"

namespace thaw {

// Note [Time follows tokens]
// Texts lie in a batch without padding, so that what a step computes follows the tokens of its
// samples, which differ from batch to batch, and from rank to rank: all wait for the one that has
// the most. Attention follows the squares of lengths, but at the lengths that models of this size
// are trained with that is a few per cent of products (length / 6 hidden), and a batch that was
// probed has the lengths of any other. So a line through tokens is all that is fitted.

DataLoads::DataLoads(const Split& split, std::int64_t batch, std::int64_t ranks, std::uint64_t seed)
    : split_(split), batch_(batch), ranks_(ranks), seed_(seed) {}

DataLoads::~DataLoads() = default;

double DataLoads::load_of(std::int64_t sample) const {
  return split_.offsets().empty() ? 1 : static_cast<double>(split_.elements(sample));
}

std::vector<std::int64_t> DataLoads::samples_of(std::int64_t cursor) {
  const GlobalBatch batch = next_global_batch(cursor, split_.size(), batch_);
  if (batch.epoch != epoch_) {
    order_ = epoch_order(split_, seed_, static_cast<std::uint64_t>(batch.epoch));
    epoch_ = batch.epoch;
  }
  std::vector<std::int64_t> samples;
  samples.reserve(static_cast<std::size_t>(batch.size()));
  for (std::int64_t at = batch.positions.first; at < batch.positions.last; ++at) {
    samples.push_back(order_->sample(at));
  }
  return samples;
}

double DataLoads::of_batch(std::int64_t cursor) {
  const std::vector<std::int64_t> samples = samples_of(cursor);
  const SampleRange whole{0, static_cast<std::int64_t>(samples.size())};
  double largest = 0;
  for (std::int64_t rank = 0; rank < std::min(ranks_, whole.last); ++rank) {
    const SampleRange share = balanced_piece(whole, rank, ranks_);
    double load = 0;
    for (std::int64_t i = share.first; i < share.last; ++i) {
      load += load_of(samples[static_cast<std::size_t>(i)]);
    }
    largest = std::max(largest, load);
  }
  return largest;
}

Loads DataLoads::of_steps(std::int64_t cursor, std::int64_t steps) {
  const std::int64_t looked_at = std::min(steps, kMostSteps);
  Loads loads;
  for (std::int64_t i = 0; i < looked_at; ++i) {
    const std::int64_t step = looked_at == steps ? i : steps / looked_at * i;
    const double load = of_batch(advance_cursor(cursor, step, split_.size(), batch_));
    loads.mean += load / static_cast<double>(looked_at);
    loads.largest = std::max(loads.largest, load);
  }
  return loads;
}

std::vector<std::int64_t> longest_samples(const Split& split, std::int64_t count) {
  std::vector<std::int64_t> samples(static_cast<std::size_t>(split.size()));
  std::iota(samples.begin(), samples.end(), std::int64_t{0});
  if (!split.offsets().empty()) {
    std::stable_sort(samples.begin(), samples.end(), [&](std::int64_t a, std::int64_t b) {
      return split.elements(a) > split.elements(b);
    });
  }
  samples.resize(static_cast<std::size_t>(std::min(count, split.size())));
  std::sort(samples.begin(), samples.end());
  return samples;
}

double whole_load(const Split& split) {
  return static_cast<double>(split.offsets().empty() ? split.size() : split.offsets().back());
}

std::int64_t distinct_tokens(const Split& split, std::vector<std::int64_t> samples) {
  std::sort(samples.begin(), samples.end());
  std::int64_t count = 0;
  for (const std::int64_t sample : samples) count += split.elements(sample);
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  split.read(samples, reinterpret_cast<std::byte*>(tokens.data()));
  std::sort(tokens.begin(), tokens.end());
  return std::unique(tokens.begin(), tokens.end()) - tokens.begin();
}

namespace {

TouchedRows beyond(const std::vector<TouchedRows>& counted, std::int64_t samples) {
  const TouchedRows last = counted.back();
  const TouchedRows before = counted.size() > 1 ? counted[counted.size() - 2] : TouchedRows{};
  const double slope = static_cast<double>(last.rows - before.rows) /
                       static_cast<double>(last.samples - before.samples);
  return {samples, last.rows + std::llround(slope * static_cast<double>(samples - last.samples))};
}

}  // namespace

std::vector<TouchedRows> counted_rows(const Split& split, const BatchSizes& sizes) {
  const std::int64_t most = std::min(split.size(), std::max(sizes.fewest, sizes.most));
  const std::vector<std::int64_t> order =
      DataLoads(split, most, /*ranks=*/1, sizes.seed).samples_of(0);
  std::vector<TouchedRows> counted;
  for (std::int64_t count = std::min(sizes.fewest, most);; count = std::min(2 * count, most)) {
    std::vector<std::int64_t> first(order.begin(), order.begin() + count);
    std::int64_t tokens = 0;
    for (const std::int64_t sample : first) tokens += split.elements(sample);
    if (!counted.empty() && tokens > sizes.most_tokens) {
      counted.push_back(beyond(counted, most));
      return counted;
    }
    counted.push_back({count, distinct_tokens(split, std::move(first))});
    if (count == most) return counted;
  }
}

}  // namespace thaw
