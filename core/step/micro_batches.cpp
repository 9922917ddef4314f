#include "core/step/micro_batches.h"

#include "core/models/layers/batch_norm.h"

namespace thaw {
namespace {

std::vector<SampleRange> by_tokens(std::span<const std::int64_t> offsets, SampleShare share,
                                   std::int64_t limit, const ForwardPeers& peers) {
  std::vector<SampleRange> pieces = micro_batches_by_tokens(offsets, limit);
  if (!peers.batch_norms.synchronize()) return pieces;
  // Lengths of the other ranks' samples are not known here.
  const std::int64_t most = peers.batch_norms.most_of_ranks(std::ssize(pieces));
  pieces.resize(static_cast<std::size_t>(most), {share.samples, share.samples});
  return pieces;
}

}  // namespace

std::vector<SampleRange> micro_batches_of(std::span<const std::int64_t> offsets, SampleShare share,
                                          const MicroBatchLimits& limits,
                                          const ForwardPeers& peers) {
  if (limits.tokens > 0) return by_tokens(offsets, share, limits.tokens, peers);
  const std::int64_t longest_share = peers.batch_norms.synchronize()
                                         ? balanced_piece({0, share.total}, 0, peers.ranks).size()
                                         : share.samples;
  std::vector<SampleRange> pieces = micro_batches(longest_share, limits.samples);
  for (std::int64_t i = 0; i < std::ssize(pieces); ++i) {
    pieces[static_cast<std::size_t>(i)] = balanced_piece({0, share.samples}, i, std::ssize(pieces));
  }
  return pieces;
}

}  // namespace thaw
