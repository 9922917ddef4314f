#pragma once

#include <cstdint>
#include <memory>
#include <vector>

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

/// Of all samples of a split together.
double whole_load(const Split& split);

/// How many different tokens these samples of a text split have: the rows of an embedding that a
/// step touches. Throws `RunError` where they cannot be read.
std::int64_t distinct_tokens(const Split& split, std::vector<std::int64_t> samples);

}  // namespace thaw
