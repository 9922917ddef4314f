#pragma once

#include <algorithm>
#include <cstdint>

#include "core/kernels/random/draw_scope.h"

namespace thaw {

/// Whether `count` rows are tokens of packed samples, not samples. Throws c10::Error if `count` is
/// the number of neither.
bool rows_are_tokens(const SampleRows& rows, std::int64_t count);

/// For walkers that nobody asks.
inline const SampleRows kNoSampleRows;

/// Walks over consecutive rows of a tensor and says whose they are. A plain value that may be used
/// from several threads, each with its own.
class RowSamples {
 public:
  /// Starts at row `first`. `packed`: rows are tokens, as `rows.offsets` says; else samples.
  RowSamples(const SampleRows& rows, bool packed, std::int64_t first)
      : rows_(rows), packed_(packed), sample_(first), row_(first) {
    if (packed) {
      const auto after = std::upper_bound(rows.offsets.begin(), rows.offsets.end(), first);
      sample_ = after - rows.offsets.begin() - 1;
      row_ = first - rows.offsets[static_cast<std::size_t>(sample_)];
      begin_ = first - row_;
    }
  }

  /// The index in the dataset of the current row's sample.
  std::uint64_t sample() const {
    return static_cast<std::uint64_t>(rows_.samples[static_cast<std::size_t>(sample_)]);
  }
  /// The current row's number within its sample.
  std::uint32_t row() const { return packed_ ? static_cast<std::uint32_t>(row_) : 0; }

  void next() {
    ++row_;
    if (!packed_) {
      ++sample_;
      return;
    }
    // Past the sample's end, and past empty samples after it.
    while (sample_ + 1 < static_cast<std::int64_t>(rows_.offsets.size()) - 1 &&
           begin_ + row_ >= rows_.offsets[static_cast<std::size_t>(sample_ + 1)]) {
      ++sample_;
      begin_ = rows_.offsets[static_cast<std::size_t>(sample_)];
      row_ = 0;
    }
  }

 private:
  const SampleRows& rows_;
  bool packed_;
  std::int64_t sample_;     ///< position in the micro-batch
  std::int64_t row_;        ///< within the sample, if packed
  std::int64_t begin_ = 0;  ///< first row of the sample
};

}  // namespace thaw
