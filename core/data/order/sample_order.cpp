#include "core/data/order/sample_order.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/data/order/keyed_hash.h"
#include "core/data/order/keyed_permutation.h"
#include "core/data/split.h"

namespace thaw {
namespace {

class FullOrder : public SampleOrder {
 public:
  FullOrder(std::int64_t samples, std::uint64_t key) : permutation_(samples, key) {}
  std::int64_t sample(std::int64_t position) const override {
    return static_cast<std::int64_t>(permutation_(position));
  }

 private:
  KeyedPermutation permutation_;
};

/// Blocks in permuted order, `blocks_a_window` of them at a time; the samples of such a window
/// permuted. Keeps two numbers a block.
class WindowOrder : public SampleOrder {
 public:
  WindowOrder(const std::vector<std::int64_t>& blocks, std::int64_t blocks_a_window,
              std::uint64_t key)
      : key_(key), blocks_a_window_(blocks_a_window) {
    const auto count = static_cast<std::int64_t>(blocks.size()) - 1;
    const KeyedPermutation permutation(count, key);
    starts_.reserve(count + 1);
    begins_.reserve(count);
    starts_.push_back(0);
    for (std::int64_t i = 0; i < count; ++i) {
      const auto block = static_cast<std::int64_t>(permutation(i));
      begins_.push_back(blocks[block]);
      starts_.push_back(starts_.back() + blocks[block + 1] - blocks[block]);
    }
  }

  std::int64_t sample(std::int64_t position) const override {
    const std::int64_t window = block_at(position) / blocks_a_window_;
    const std::int64_t first_block = window * blocks_a_window_;
    const auto last_block =
        std::min(first_block + blocks_a_window_, static_cast<std::int64_t>(begins_.size()));
    const std::int64_t begin = starts_[first_block];
    const KeyedPermutation within(starts_[last_block] - begin, keyed_hash(key_, window + 1));
    const auto mixed = begin + static_cast<std::int64_t>(within(position - begin));
    const std::int64_t block = block_at(mixed);
    return begins_[block] + mixed - starts_[block];
  }

 private:
  /// The block, in permuted order, that `position` of the blocks laid end to end falls into.
  std::int64_t block_at(std::int64_t position) const {
    return std::upper_bound(starts_.begin(), starts_.end(), position) - starts_.begin() - 1;
  }

  std::uint64_t key_;
  std::int64_t blocks_a_window_;
  std::vector<std::int64_t> starts_;  // position of each block in permuted order, and the end
  std::vector<std::int64_t> begins_;  // first sample of each block in permuted order
};

/// As many blocks as fill a window, on average.
std::int64_t blocks_a_window(const Split& split) {
  const std::int64_t elements = split.format().kind == DataKind::kText
                                    ? split.offsets().back()
                                    : split.size() * split.format().image_elements();
  const auto blocks = static_cast<std::int64_t>(split.blocks().size()) - 1;
  const std::int64_t mean_bytes =
      std::max<std::int64_t>(1, elements * split.format().element_bytes() / blocks);
  return std::clamp<std::int64_t>(kWindowBytes / mean_bytes, 1, blocks);
}

}  // namespace

std::unique_ptr<SampleOrder> epoch_order(const Split& split, std::uint64_t seed,
                                         std::uint64_t epoch) {
  const std::uint64_t key = keyed_hash(keyed_hash(0, seed), epoch);
  if (split.blocks().empty()) return std::make_unique<FullOrder>(split.size(), key);
  return std::make_unique<WindowOrder>(split.blocks(), blocks_a_window(split), key);
}

Fingerprint order_fingerprint(const Split& split) {
  std::vector<std::int64_t> numbers = split.blocks();
  numbers.push_back(split.size());
  if (!split.blocks().empty()) numbers.push_back(blocks_a_window(split));
  return fingerprint(numbers.data(), numbers.size() * sizeof(numbers[0]));
}

std::string describe_order(const Split& split) {
  if (split.blocks().empty()) return "shuffled as a whole";
  const std::size_t blocks = split.blocks().size() - 1;
  return fmt::format("shuffled in windows of {} of its {} blocks of chunks", blocks_a_window(split),
                     blocks);
}

}  // namespace thaw
