#include "core/data/loading/augmentation.h"

#include "core/kernels/random/philox.h"

namespace thaw {
namespace {

std::uint32_t low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
std::uint32_t high(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }

/// `word` scaled to [0, count); biased by less than count / 2^32.
std::int64_t below(std::int64_t count, std::uint32_t word) {
  return static_cast<std::int64_t>(std::uint64_t{word} * count >> 32);
}

}  // namespace

Augmentation draw_augmentation(const AugmentationOptions& options, std::int64_t epoch,
                               std::int64_t sample) {
  // Keys as in Note [Keyed draws] (dropout_draws.h), with a site that no layer has.
  constexpr std::uint32_t kSite = 0xFFFFFFFF;
  const Philox::Counter key =
      Philox::draw({low(epoch), high(epoch), kSite, 0}, {low(options.seed), high(options.seed)});
  const Philox::Counter words = Philox::draw({0, 0, low(sample), high(sample)}, {key[0], key[1]});
  const std::int64_t places = 2 * options.crop_padding + 1;
  return {below(places, words[0]) - options.crop_padding,
          below(places, words[1]) - options.crop_padding,
          options.horizontal_flip && (words[2] >> 31) != 0};
}

}  // namespace thaw
