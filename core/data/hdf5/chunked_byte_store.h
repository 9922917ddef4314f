#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/data/hdf5/byte_store.h"

namespace thaw {

class Hdf5Dataset;

/// The blocks of decoded data used last, up to a number of bytes. Thread-safe.
class BlockCache {
 public:
  using Block = std::shared_ptr<const std::vector<std::byte>>;

  /// Keeps at most `capacity` bytes, but always the two blocks used last.
  explicit BlockCache(std::int64_t capacity) : capacity_(capacity) {}

  /// Block `index` of `owner`, which `load` makes if it is not there. Loads one at a time.
  Block get(const void* owner, std::int64_t index,
            const std::function<std::vector<std::byte>()>& load);

  std::int64_t loads() const { return loads_; }

 private:
  using Key = std::pair<const void*, std::int64_t>;
  struct Entry {
    Key key;
    Block block;
  };
  void make_room(std::int64_t bytes);

  std::int64_t capacity_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // last used first
  std::map<Key, std::list<Entry>::iterator> places_;
  std::int64_t bytes_ = 0;
  std::int64_t loads_ = 0;
};

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
