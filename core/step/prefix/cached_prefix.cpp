#include "core/step/prefix/cached_prefix.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "core/base/error.h"
#include "core/data/batch.h"
#include "core/data/cache/checked_byte_store.h"
#include "core/step/prefix/prefix_runner.h"

namespace thaw {

CachedPrefix::CachedPrefix(std::size_t boundary, ActivationSpec spec,
                           const ActivationFile::Opened& opened, const PrefixRunner& runner)
    : boundary_(boundary),
      spec_(std::move(spec)),
      runner_(runner),
      store_(std::make_unique<CheckedByteStore>(
          opened.file, opened.address, spec_.value_bytes(), opened.checks,
          [this](std::int64_t offset, std::int64_t size, std::byte* memory) {
            compute(offset, size, memory);
          },
          spec_.layout.describe())) {}

CachedPrefix::~CachedPrefix() = default;

at::Tensor CachedPrefix::hidden(const Batch& batch) const { return read(batch.samples); }

at::Tensor CachedPrefix::read(const std::vector<std::int64_t>& samples) const {
  const auto first_row = [&](std::int64_t sample) {
    return spec_.offsets[static_cast<std::size_t>(sample)];
  };
  std::int64_t rows = 0;
  for (const std::int64_t sample : samples) rows += first_row(sample + 1) - first_row(sample);
  at::Tensor hidden = spec_.layout.memory(rows);
  auto* to = static_cast<std::byte*>(hidden.mutable_data_ptr());
  const std::int64_t row_bytes = spec_.layout.row_bytes();
  for (std::size_t i = 0; i < samples.size();) {
    // Neighbours, as an evaluation has them, in one read.
    std::size_t end = i + 1;
    while (end < samples.size() && samples[end] == samples[end - 1] + 1) ++end;
    const std::int64_t begin = first_row(samples[i]) * row_bytes;
    const std::int64_t size = first_row(samples[end - 1] + 1) * row_bytes - begin;
    store_->read(begin, size, to);
    to += size;
    i = end;
  }
  return hidden;
}

/// The blocks that the bytes [offset, offset + size) lie in, as they were computed at first.
void CachedPrefix::compute(std::int64_t offset, std::int64_t size, std::byte* memory) const {
  const std::vector<std::int64_t>& blocks = runner_.blocks();
  const std::int64_t row_bytes = spec_.layout.row_bytes();
  for (std::size_t block = 0; block + 1 < blocks.size(); ++block) {
    const std::int64_t begin = spec_.offsets[static_cast<std::size_t>(blocks[block])] * row_bytes;
    const std::int64_t end = spec_.offsets[static_cast<std::size_t>(blocks[block + 1])] * row_bytes;
    const std::int64_t from = std::max(begin, offset);
    const std::int64_t to = std::min(end, offset + size);
    if (from >= to) continue;
    const PrefixRunner::Outputs outputs =
        runner_.run_block(block, std::span<const std::size_t>(&boundary_, 1));
    const at::Tensor rows = laid_out(outputs.hidden.front(), spec_.layout);
    if (static_cast<std::int64_t>(rows.nbytes()) != end - begin) {
      throw RunError("the network gives another number of rows than it did");
    }
    std::memcpy(memory + (from - offset),
                static_cast<const std::byte*>(rows.const_data_ptr()) + (from - begin),
                static_cast<std::size_t>(to - from));
  }
}

}  // namespace thaw
