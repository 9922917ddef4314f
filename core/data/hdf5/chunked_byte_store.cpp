#include "core/data/hdf5/chunked_byte_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/system.h"
#include "core/data/hdf5/hdf5_dataset.h"

namespace thaw {
namespace {

/// Below this, the cost of a call outweighs that of what it decodes.
constexpr std::int64_t kMinBlockBytes = 256 << 10;

std::int64_t row_bytes(const Hdf5Dataset& dataset) {
  return dataset.bytes() / std::max<std::int64_t>(1, dataset.rows());
}

}  // namespace

BlockCache::Block BlockCache::get(const void* owner, std::int64_t index,
                                  const std::function<std::vector<std::byte>()>& load) {
  const std::lock_guard lock(mutex_);
  const Key key(owner, index);
  if (const auto place = places_.find(key); place != places_.end()) {
    entries_.splice(entries_.begin(), entries_, place->second);
    return entries_.front().block;
  }
  auto block = std::make_shared<const std::vector<std::byte>>(load());
  ++loads_;
  make_room(static_cast<std::int64_t>(block->size()));
  bytes_ += static_cast<std::int64_t>(block->size());
  entries_.push_front({key, std::move(block)});
  places_.emplace(key, entries_.begin());
  return entries_.front().block;
}

void BlockCache::make_room(std::int64_t bytes) {
  while (entries_.size() > 1 && bytes_ + bytes > capacity_) {
    bytes_ -= static_cast<std::int64_t>(entries_.back().block->size());
    places_.erase(entries_.back().key);
    entries_.pop_back();
  }
}

std::int64_t rows_of_block(const Hdf5Dataset& dataset, std::int64_t min_bytes) {
  const std::int64_t rows = std::max<std::int64_t>(1, dataset.rows());
  const std::int64_t step = dataset.chunk().empty() ? 1 : std::min(dataset.chunk().front(), rows);
  const std::int64_t step_bytes = std::max<std::int64_t>(1, step * row_bytes(dataset));
  return std::min(rows, step * std::max<std::int64_t>(1, min_bytes / step_bytes));
}

ChunkedByteStore::ChunkedByteStore(std::shared_ptr<const Hdf5Dataset> dataset,
                                   std::shared_ptr<BlockCache> cache)
    : dataset_(std::move(dataset)),
      cache_(std::move(cache)),
      row_bytes_(row_bytes(*dataset_)),
      block_rows_(rows_of_block(*dataset_, kMinBlockBytes)) {
  // Two at a time: a batch may reach from one into the next.
  if (block_bytes() > available_memory() / 4) {
    throw InputError(fmt::format(
        "{}: its chunks reach over {} rows, {} to decode at once, which does not fit into memory; "
        "rewrite it (h5repack -l CONTI), or let data.cache decode it once",
        dataset_->where(), block_rows_, memory_text(block_bytes())));
  }
}

std::vector<std::byte> ChunkedByteStore::load(std::int64_t block) const {
  const std::int64_t first = block * block_rows_;
  const std::int64_t last = std::min(first + block_rows_, dataset_->rows());
  std::vector<std::byte> bytes((last - first) * row_bytes_);
  try {
    dataset_->read_rows(first, last, bytes.data());
  } catch (const InputError& error) {
    throw RunError(error.what());
  }
  return bytes;
}

void ChunkedByteStore::read(std::int64_t offset, std::int64_t size, std::byte* memory) const {
  while (size > 0) {
    const std::int64_t block = offset / block_bytes();
    const std::int64_t inside = offset % block_bytes();
    const BlockCache::Block bytes = cache_->get(this, block, [&] { return load(block); });
    const std::int64_t count = std::min(size, static_cast<std::int64_t>(bytes->size()) - inside);
    std::memcpy(memory, bytes->data() + inside, count);
    offset += count;
    size -= count;
    memory += count;
  }
}

std::string ChunkedByteStore::describe() const {
  return fmt::format("decoded again and again, {} rows ({}) at a time", block_rows_,
                     memory_text(block_bytes()));
}

}  // namespace thaw
