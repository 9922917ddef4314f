#include "launch/check/fullest_forward.h"

#include <algorithm>
#include <memory>

#include "core/config/configuration.h"
#include "core/data/order/batch_plan.h"
#include "core/data/order/sample_order.h"
#include "core/data/split.h"
#include "core/schedule/end_condition.h"
#include "core/schedule/schedule.h"
#include "core/train/reduction_rules.h"

namespace thaw {
namespace {

/// Samples that are looked at for the fullest forward.
constexpr std::int64_t kMostLookedAt = 2'000'000;

/// Whose shares of batches are looked at.
enum class Shares { kFirst, kAll };

/// Positions of the global batch that a rank, or a shard, has to itself.
std::vector<SampleRange> shares_of(const GlobalBatch& batch, const TrainOptions& train, int ranks,
                                   Shares whose) {
  std::vector<SampleRange> shares;
  const std::int64_t shards = canonical_shards(train);
  const std::int64_t pieces = shards > 0 ? shards : ranks;
  for (std::int64_t piece = 0; piece < (whose == Shares::kFirst ? 1 : pieces); ++piece) {
    shares.push_back(balanced_piece(batch.positions, piece, pieces));
  }
  return shares;
}

/// The most tokens that come together in the batches of the run's first `samples` samples.
std::int64_t fullest(const Split& split, const Configuration& configuration, int ranks,
                     std::int64_t samples, Shares whose) {
  std::int64_t most = 0, epoch = -1;
  std::unique_ptr<SampleOrder> order;
  for (std::int64_t cursor = 0; cursor < samples;) {
    const GlobalBatch batch = next_global_batch(cursor, split.size(), configuration.data.batch);
    if (batch.epoch != epoch) {
      epoch = batch.epoch;
      order = epoch_order(split, static_cast<std::uint64_t>(configuration.data.seed),
                          static_cast<std::uint64_t>(epoch));
    }
    for (const SampleRange& share : shares_of(batch, configuration.train, ranks, whose)) {
      std::vector<std::int64_t> tokens;
      for (std::int64_t position = share.first; position < share.last; ++position) {
        tokens.push_back(split.elements(order->sample(position)));
      }
      most = std::max(most, fullest_forward(tokens, configuration.train));
    }
    cursor += batch.size();
  }
  return most;
}

/// Samples of the whole run, as far as it is known beforehand and looked at; of one epoch at least.
std::int64_t samples_of_run(const Schedule& schedule, const Split& split, std::int64_t batch) {
  std::int64_t samples = 0;
  for (const Stage& stage : schedule.stages) {
    const auto steps = steps_of_stage(stage.until, samples, split.size(), batch);
    samples += steps && *steps < kMostLookedAt ? *steps * batch : split.size();
  }
  return std::clamp(samples, std::min(split.size(), kMostLookedAt), kMostLookedAt);
}

}  // namespace

std::int64_t fullest_forward(const std::vector<std::int64_t>& tokens, const TrainOptions& train) {
  std::vector<std::int64_t> offsets = {0};
  for (const std::int64_t each : tokens) offsets.push_back(offsets.back() + each);
  const std::vector<SampleRange> forwards =
      train.micro_batch_tokens > 0 ? micro_batches_by_tokens(offsets, train.micro_batch_tokens)
                                   : micro_batches(std::ssize(tokens), train.micro_batch);
  std::int64_t most = 0;
  for (const SampleRange& forward : forwards) {
    most = std::max(most, offsets[static_cast<std::size_t>(forward.last)] -
                              offsets[static_cast<std::size_t>(forward.first)]);
  }
  return most;
}

double fuller_than_tried(const Split& split, const Configuration& configuration,
                         const Schedule& schedule, const TriedPart& tried) {
  const std::int64_t batch = configuration.data.batch;
  const std::int64_t seen =
      fullest(split, configuration, tried.ranks, tried.batches * batch, Shares::kFirst);
  const std::int64_t all = fullest(split, configuration, tried.ranks,
                                   samples_of_run(schedule, split, batch), Shares::kAll);
  return seen > 0 && all > seen ? static_cast<double>(all) / static_cast<double>(seen) : 1;
}

}  // namespace thaw
