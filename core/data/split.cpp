#include "core/data/split.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "core/base/error.h"
#include "core/base/system.h"
#include "core/data/cache/data_cache.h"
#include "core/data/hdf5/byte_store.h"
#include "core/data/hdf5/chunked_byte_store.h"
#include "core/data/hdf5/hdf5_dataset.h"
#include "core/data/identity/file_stamp.h"
#include "core/data/order/sample_order.h"

namespace thaw {

bool SampleFormat::looks_channels_last() const {
  constexpr std::int64_t kMostChannels = 4;  // of a picture
  if (kind != DataKind::kImages || channels <= kMostChannels || height <= kMostChannels) {
    return false;
  }
  // One column may be a signal of several channels, unless it would have as many as it is long.
  return width == 3 || width == 4 || (width == 1 && channels == height);
}

std::string SampleFormat::describe() const {
  if (kind == DataKind::kText) {
    return std::string(pairs ? "text pairs" : "text") + (counts_bytes ? " with bytes" : "");
  }
  return fmt::format("images of {} x {} x {} {}", channels, height, width,
                     bytes ? "bytes" : "float32");
}

Split::Split(std::string name, SampleFormat format, std::vector<Part> parts, Labels labels,
             std::vector<std::int64_t> offsets, std::vector<std::int8_t> types,
             std::vector<std::int32_t> bytes)
    : name_(std::move(name)),
      format_(format),
      image_elements_(format.image_elements()),
      parts_(std::move(parts)),
      labels_(std::move(labels)),
      offsets_(std::move(offsets)),
      types_(std::move(types)),
      bytes_(std::move(bytes)) {
  part_first_.push_back(0);
  for (const Part& part : parts_) part_first_.push_back(part_first_.back() + part.samples);
}

Split::~Split() = default;

std::int64_t Split::longest() const {
  if (format_.kind == DataKind::kImages) return image_elements_;
  std::int64_t longest = 0;
  for (std::int64_t i = 0; i < size(); ++i) longest = std::max(longest, elements(i));
  return longest;
}

bool Split::is_ragged() const {
  return !offsets_.empty() && longest() * size() > offsets_.back() - offsets_.front();
}

std::int64_t Split::largest_token() const {
  if (format_.kind != DataKind::kText) {
    throw std::logic_error("Split::largest_token: images have no tokens");
  }
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> samples;
  std::int32_t largest = 0;
  constexpr std::int64_t kPiece = 1 << 20;
  for (std::int64_t first = 0; first < size();) {
    // Whole samples, so that a bad token can be named; at least one.
    const auto end =
        std::upper_bound(offsets_.begin() + first + 2, offsets_.end(), offsets_[first] + kPiece);
    const std::int64_t last = end - offsets_.begin() - 1;
    samples.clear();
    for (std::int64_t i = first; i < last; ++i) samples.push_back(i);
    tokens.resize(offsets_[last] - offsets_[first]);
    read(samples, reinterpret_cast<std::byte*>(tokens.data()));
    const auto [least, most] = std::minmax_element(tokens.begin(), tokens.end());
    if (*least < 0) {
      const std::int64_t at = offsets_[first] + (least - tokens.begin());
      const std::int64_t sample =
          std::upper_bound(offsets_.begin(), offsets_.end(), at) - offsets_.begin() - 1;
      const std::size_t part = part_of(sample);
      throw InputError(fmt::format("{}: sample {} holds token {}; tokens must be >= 0",
                                   parts_[part].name, sample - part_first_[part], *least));
    }
    largest = std::max(largest, *most);
    first = last;
  }
  return largest;
}

bool Split::prepared() const {
  return std::all_of(parts_.begin(), parts_.end(),
                     [](const Part& part) { return part.store != nullptr; });
}

void Split::prepare(const DataCacheOptions& cache) {
  if (prepared()) return;
  // Two windows: the end of one may share a batch with the beginning of the next.
  const auto blocks = std::make_shared<BlockCache>(2 * kWindowBytes);
  for (Part& part : parts_) {
    if (part.store) continue;
    part.store = open_chunked(part.chunked, cache, blocks);
    part.chunked.reset();
  }
  blocks_ = find_blocks();
}

std::size_t Split::part_of(std::int64_t sample) const {
  if (parts_.size() == 1) return 0;
  return std::upper_bound(part_first_.begin(), part_first_.end(), sample) - part_first_.begin() - 1;
}

void Split::read(std::span<const std::int64_t> samples, std::byte* memory) const {
  const std::int64_t element_bytes = format_.element_bytes();
  for (std::size_t i = 0; i < samples.size();) {
    const std::int64_t first = samples[i];
    if (first < 0 || first >= size()) {
      throw std::out_of_range(fmt::format("Split::read: no sample {} of {}", first, size()));
    }
    const std::size_t part = part_of(first);
    // Samples that follow each other in the file are read together.
    std::int64_t last = first + 1;
    for (++i; i < samples.size() && samples[i] == last && last < part_first_[part + 1]; ++i) ++last;
    const std::int64_t begin = first_element(first) - first_element(part_first_[part]);
    const std::int64_t count = first_element(last) - first_element(first);
    parts_[part].store->read(begin * element_bytes, count * element_bytes, memory);
    memory += count * element_bytes;
  }
}

/// All parts are cut where one is, so that the samples of all files are mixed.
std::vector<std::int64_t> Split::find_blocks() const {
  std::vector<std::int64_t> blocks;
  const bool any = std::any_of(parts_.begin(), parts_.end(),
                               [](const Part& part) { return part.store->block_bytes() > 0; });
  if (!any) return blocks;
  for (std::size_t part = 0; part < parts_.size(); ++part) append_blocks(part, blocks);
  blocks.push_back(size());
  return blocks;
}

/// A sample belongs to the block that holds its first byte.
void Split::append_blocks(std::size_t part, std::vector<std::int64_t>& blocks) const {
  // A contiguous file among chunked ones is cut as finely as they are.
  constexpr std::int64_t kUncutBytes = 1 << 20;
  const std::int64_t stored = parts_[part].store->block_bytes();
  const std::int64_t block_bytes = stored > 0 ? stored : kUncutBytes;
  const std::int64_t base = first_element(part_first_[part]);
  std::int64_t block = -1;
  for (std::int64_t sample = part_first_[part]; sample < part_first_[part + 1]; ++sample) {
    const std::int64_t of_sample =
        (first_element(sample) - base) * format_.element_bytes() / block_bytes;
    if (of_sample != block) blocks.push_back(sample);
    block = of_sample;
  }
}

std::optional<std::vector<SampleSource>> Split::sources() const {
  std::vector<SampleSource> sources;
  for (const Part& part : parts_) {
    if (!part.source) return std::nullopt;
    sources.push_back(*part.source);
  }
  return sources;
}

std::string Split::describe() const {
  std::string text = fmt::format("{} samples", size());
  if (format_.kind == DataKind::kText) {
    text += fmt::format(", {} tokens, at most {} a sample", offsets_.back(), longest());
  }
  std::vector<std::string> layouts;
  for (const Part& part : parts_) {
    std::string layout = part.layout;
    if (part.store && part.store->describe() != part.layout) {
      layout += ", " + part.store->describe();
    }
    if (std::find(layouts.begin(), layouts.end(), layout) == layouts.end()) {
      layouts.push_back(std::move(layout));
    }
  }
  return fmt::format("{}; {}", text, fmt::join(layouts, "; "));
}

}  // namespace thaw
