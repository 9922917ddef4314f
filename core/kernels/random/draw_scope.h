#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/kernels/random/dropout_draws.h"

namespace thaw {

struct DeviceRows;

/// Which sample each row of a micro-batch's tensors belongs to.
struct SampleRows {
  /// Index in the dataset of each sample, [n].
  std::vector<std::int64_t> samples;
  /// Packed layouts: first row of each sample, [n + 1]; empty where a row is a sample.
  std::vector<std::int64_t> offsets;
  /// The same on a GPU: came with the batch, or is made at the first use (see `on_device`).
  mutable std::shared_ptr<const DeviceRows> device = {};

  std::int64_t size() const { return static_cast<std::int64_t>(samples.size()); }
};

/// The draws of one use of one dropout layer. Keeps the rows alive: backward outlives the scope.
struct DropoutDraws {
  DropoutKey key;
  std::shared_ptr<const SampleRows> rows;
  /// Attention on a GPU may draw in its own way: Note [Flash attention].
  bool fast = false;
};

/// Which samples the rows of the tensors of the current forward belong to, so that random draws
/// are keyed by (seed, epoch, sample, site) and never by rank, batch layout or padding
/// (Note [Keyed draws]).
///
/// While an instance lives, `thaw::nn::Dropout` and the other keyed kernels called on the same
/// thread draw from it; scopes nest, the innermost counts. Without one they fall back to
/// LibTorch's global generator. One scope is one forward: a layer that is used twice within it
/// draws differently each time. Belongs to the thread that made it.
class DrawScope {
 public:
  struct Rows {
    std::uint64_t seed = 0;
    std::uint64_t epoch = 0;
    /// Index in the dataset of each sample of the micro-batch, [n].
    std::span<const std::int64_t> samples = {};
    /// Packed layouts: first row of each sample, [n + 1]; empty where a row is a sample.
    std::span<const std::int64_t> offsets = {};
    /// Where the batch brought them along; else they are made at the first use.
    std::shared_ptr<const DeviceRows> device = {};
    bool fast = false;  ///< of DropoutDraws
  };

  /// Copies what the spans show. Throws std::invalid_argument for offsets that do not fit the
  /// samples.
  explicit DrawScope(Rows rows);
  /// All that decides a scope's draws from some moment on.
  struct State {
    std::uint64_t seed = 0;
    std::uint64_t epoch = 0;
    std::shared_ptr<const SampleRows> rows;
    bool fast = false;
    std::unordered_map<std::uint32_t, std::uint32_t> calls;  ///< so far, by site
  };
  /// Goes on from there: draws what that scope drew next.
  explicit DrawScope(State state);
  ~DrawScope();
  DrawScope(const DrawScope&) = delete;
  DrawScope& operator=(const DrawScope&) = delete;

  /// The spans show the scope's own copies.
  Rows rows() const;

  State state() const { return {seed_, epoch_, rows_, fast_, calls_}; }

  /// The draws of the next use of the layer `site` in this scope.
  DropoutDraws draws(std::uint32_t site, double probability);

  /// The innermost scope of this thread, or null.
  static DrawScope* current();

 private:
  std::uint64_t seed_;
  std::uint64_t epoch_;
  std::shared_ptr<const SampleRows> rows_;
  bool fast_;
  std::unordered_map<std::uint32_t, std::uint32_t> calls_;  ///< so far, by site
  DrawScope* outer_;
};

}  // namespace thaw
