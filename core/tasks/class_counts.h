#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace thaw {

/// Sums over evaluated samples from which all figures of an evaluation follow. Sums of ranks add
/// up, so every sample counts once whatever the sharding.
class ClassCounts {
 public:
  explicit ClassCounts(std::int64_t classes);

  void add(std::int64_t label, std::int64_t predicted);
  void add_loss(double sum);

  std::int64_t samples() const { return static_cast<std::int64_t>(sums_[1]); }
  double mean_loss() const;
  double accuracy() const;
  /// Unweighted mean of F1 over the classes that occur as label or prediction.
  double macro_f1() const;

  struct Row {
    std::int64_t samples = 0;
    double precision = 0, recall = 0, f1 = 0;
  };
  /// One for each class.
  std::vector<Row> rows() const;

  /// All sums as one flat array, to be summed over ranks in place.
  std::span<double> sums() { return sums_; }

 private:
  // sums_ = loss, samples, then labels[c], predictions[c], hits[c]. Counts are exact in a double.
  double labels(std::int64_t c) const { return sums_[2 + c]; }
  double predictions(std::int64_t c) const { return sums_[2 + classes_ + c]; }
  double hits(std::int64_t c) const { return sums_[2 + 2 * classes_ + c]; }

  std::int64_t classes_;
  std::vector<double> sums_;
};

}  // namespace thaw
