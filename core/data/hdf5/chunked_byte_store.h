#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/data/hdf5/block_cache.h"
#include "core/data/hdf5/byte_store.h"

namespace thaw {

class Hdf5Dataset;

/// Rows of `dataset` that cost as much to read as one of them: whole rows of chunks, at least
/// `min_bytes` together.
std::int64_t rows_of_block(const Hdf5Dataset& dataset, std::int64_t min_bytes);

/// Chunked data that is decoded block by block whenever it is read, for those who can spare neither
/// the memory nor the disk to decode it once. Fast only in an order that stays within few blocks.
class ChunkedByteStore : public ByteStore {
 public:
  ChunkedByteStore(std::shared_ptr<const Hdf5Dataset> dataset, std::shared_ptr<BlockCache> cache);
  void read(std::int64_t offset, std::int64_t size, std::byte* memory) const override;
  std::string describe() const override;
  std::int64_t block_bytes() const override { return block_rows_ * row_bytes_; }

 private:
  std::vector<std::byte> load(std::int64_t block) const;

  std::shared_ptr<const Hdf5Dataset> dataset_;
  std::shared_ptr<BlockCache> cache_;
  std::int64_t row_bytes_;
  std::int64_t block_rows_;
};

}  // namespace thaw
