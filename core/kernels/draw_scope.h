#pragma once

#include <cstdint>
#include <span>

namespace thaw {

/// Which samples the rows of the tensors of the current forward belong to, so that random draws
/// are keyed by (seed, epoch, sample, site) and never by rank, batch layout or padding.
///
/// While an instance lives, `thaw::nn::Dropout` and the other keyed kernels called on the same
/// thread draw from it; scopes nest, the innermost counts. Without one they fall back to
/// LibTorch's global generator. The spans must outlive the scope.
class DrawScope {
 public:
  struct Rows {
    std::uint64_t seed = 0;
    std::uint64_t epoch = 0;
    /// Index in the dataset of each sample of the micro-batch, [n].
    std::span<const std::int64_t> samples;
    /// Packed layouts: first row of each sample, [n + 1]; empty where a row is a sample.
    std::span<const std::int64_t> offsets;
  };

  explicit DrawScope(Rows rows);
  ~DrawScope();
  DrawScope(const DrawScope&) = delete;
  DrawScope& operator=(const DrawScope&) = delete;

  const Rows& rows() const { return rows_; }
  /// The innermost scope of this thread, or null.
  static DrawScope* current();

 private:
  Rows rows_;
  DrawScope* outer_;
};

}  // namespace thaw
