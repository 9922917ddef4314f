#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/data/split.h"

namespace thaw {

class BlockCache;

// Note [Chunked data]
// A chunk is read and decompressed as a whole. h5py's default chunks spread one image over dozens
// of them, so that reading samples in random order decodes every byte hundreds of times: measured,
// 117 samples/s where contiguous data gives 100,000. Such data is therefore decoded once, in the
// file's order, into memory or into a contiguous file, and then is as fast as contiguous data. Only
// where the user can spare neither (`off`) are chunks decoded again and again; then the epoch order
// stays within a window of them (sample_order.h).

/// Makes data that cannot be read where it lies readable as `options` say. `blocks` serves `off`.
/// Throws `InputError` where memory or disk do not suffice, saying what would.
std::unique_ptr<ByteStore> open_chunked(std::shared_ptr<const Hdf5Dataset> dataset,
                                        const DataCacheOptions& options,
                                        const std::shared_ptr<BlockCache>& blocks);

/// Whom decoding calls, block by block; each may be empty.
struct DecodeCalls {
  DecodeProgress progress = {};
  /// Before a block is written to memory.
  std::function<void(std::byte* first, std::int64_t size)> before = {};
};

/// Copies all elements of `dataset` to `memory` (`dataset.bytes()` of it), block by block.
void decode(const Hdf5Dataset& dataset, std::byte* memory, const DecodeCalls& calls);

}  // namespace thaw
