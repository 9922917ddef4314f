#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dist/forecast/stage_costs.h"

namespace thaw {

class SampleOrder;
class Split;

/// What a rank's share of a batch holds that a step's time follows: tokens of texts, images.
struct Loads {
  double mean = 0;     ///< over steps, of the rank that has the most in each
  double largest = 0;  ///< of any rank in any step that was looked at
};

/// The loads of a run's batches, from the lengths of samples and the order of epochs alone. Pure
/// but for the orders that it keeps.
class DataLoads {
 public:
  /// `split` is borrowed and prepared. `batch`: global.
  DataLoads(const Split& split, std::int64_t batch, std::int64_t ranks, std::uint64_t seed);
  ~DataLoads();

  /// The samples of the batch that follows `cursor` consumed ones, in their order.
  std::vector<std::int64_t> samples_of(std::int64_t cursor);
  /// Of that batch, on the rank that has the most.
  double of_batch(std::int64_t cursor);
  /// Of `steps` steps from `cursor` on; of more than kMostSteps, as many, evenly apart.
  Loads of_steps(std::int64_t cursor, std::int64_t steps);
  static constexpr std::int64_t kMostSteps = 1024;

 private:
  double load_of(std::int64_t sample) const;

  const Split& split_;
  std::int64_t batch_, ranks_;
  std::uint64_t seed_;
  std::int64_t epoch_ = -1;
  std::unique_ptr<SampleOrder> order_;  ///< of `epoch_`
};

/// So many samples of a split, those that hold most, ascending; all, where there are no more. Pure.
std::vector<std::int64_t> longest_samples(const Split& split, std::int64_t count);

/// Of all samples of a split together.
double whole_load(const Split& split);

/// Which batches of a text split are asked about.
struct BatchSizes {
  std::int64_t fewest = 1, most = 1;  ///< samples
  std::uint64_t seed = 0;             ///< of their order
  /// Larger batches are not counted but for the smallest: sorting more takes a second.
  std::int64_t most_tokens = 1 << 23;
};

/// What batches of the fewest samples touch of an embedding's rows, of twice as many, and so on up
/// to the most, or the whole split. What is not counted lies on the line through the last two that
/// are, below which it is in truth, since rows come again the oftener the more there are. Throws
/// `RunError` where they cannot be read.
std::vector<TouchedRows> counted_rows(const Split& split, const BatchSizes& sizes);

/// How many different tokens these samples of a text split have: the rows of an embedding that a
/// step touches. Throws `RunError` where they cannot be read.
std::int64_t distinct_tokens(const Split& split, std::vector<std::int64_t> samples);

}  // namespace thaw
