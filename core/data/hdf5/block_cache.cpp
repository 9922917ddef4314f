#include "core/data/hdf5/block_cache.h"

namespace thaw {

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

}  // namespace thaw
