#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace thaw {

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

}  // namespace thaw
