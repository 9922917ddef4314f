#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/hash.h"
#include "core/data/split.h"

namespace thaw {

// Note [Fingerprints of content]
// What samples hold is hashed as it is decoded, sample after sample, so the value is the same
// however files are split, chunked, compressed or cached. It is cut into pieces of whole samples,
// each with a fingerprint of its own, and theirs is hashed again: so threads, and ranks that see
// the same files, can share the work. Where pieces end follows from the lengths of samples alone.

/// The first sample of each piece of a split, and its size: Note [Fingerprints of content].
std::vector<std::int64_t> content_pieces(const Split& split);

/// Bytes of the samples [first, last) of a split.
std::int64_t content_bytes(const Split& split, std::int64_t first, std::int64_t last);

/// Fingerprints of the pieces [first, last) of `pieces`, which `content_pieces` returned for the
/// split. Reads them in order, by up to `threads` threads, or by one where data is decoded again
/// and again. `progress` is called on this thread, with bytes of these pieces. Needs
/// Split::prepare; throws as Split::read.
std::vector<Fingerprint> hash_pieces(const Split& split, std::span<const std::int64_t> pieces,
                                     std::int64_t first, std::int64_t last, int threads = 1,
                                     const DecodeProgress& progress = {});

/// The fingerprint of a split's content, from those of all its pieces.
Fingerprint content_fingerprint(std::span<const Fingerprint> pieces);

}  // namespace thaw
