#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/parallel/sum_tree.h"

namespace thaw {

/// Positions [first, last) of something ordered.
struct SampleRange {
  std::int64_t first = 0;
  std::int64_t last = 0;

  std::int64_t size() const { return last - first; }
  bool empty() const { return first == last; }
  friend bool operator==(const SampleRange&, const SampleRange&) = default;
};

/// The samples of one optimizer step over all ranks: positions in one epoch's order.
struct GlobalBatch {
  std::int64_t epoch = 0;
  SampleRange positions;

  std::int64_t size() const { return positions.size(); }
  friend bool operator==(const GlobalBatch&, const GlobalBatch&) = default;
};

/// The global batch that follows `cursor` consumed samples, in a split of `samples` > 0 samples:
/// at most `batch` > 0 of them, never across the end of an epoch, so an epoch's last batch may be
/// short. The cursor after it is `cursor + size()`.
GlobalBatch next_global_batch(std::int64_t cursor, std::int64_t samples, std::int64_t batch);

/// Global batches from `cursor` to the end of its epoch.
std::int64_t batches_left_in_epoch(std::int64_t cursor, std::int64_t samples, std::int64_t batch);

/// Piece `index` of `whole` cut into `pieces`, in order, sizes differing by at most 1 (the longer
/// ones first). May be empty. A rank's slice of a global batch is piece `rank` of `ranks`.
SampleRange balanced_piece(SampleRange whole, std::int64_t index, std::int64_t pieces);

/// The positions in `whole`, cut into `shards` balanced pieces, of the pieces in `own`.
SampleRange samples_of_shards(SampleRange whole, ShardRange own, std::int64_t shards);

/// The micro-batches of a rank's share of `samples`: as few as `limit` allows, balanced. No limit
/// (0) means one; no samples mean none.
std::vector<SampleRange> micro_batches(std::int64_t samples, std::int64_t limit);

/// Those of text by its tokens: one after another, each of as many samples as have at most `limit`
/// > 0 tokens together, but of one at least. `offsets`: the first token of each sample and the end.
std::vector<SampleRange> micro_batches_by_tokens(std::span<const std::int64_t> offsets,
                                                 std::int64_t limit);

}  // namespace thaw
