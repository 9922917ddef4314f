#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace thaw {

/// What precision, recall and F1 of classes follow from: of each class, samples that have it, that
/// are said to have it, and both. A view of `3 * classes` of a Measurement's counts.
class ClassCounts {
 public:
  explicit ClassCounts(std::span<const double> counts)
      : classes_(static_cast<std::int64_t>(counts.size()) / 3), counts_(counts) {}

  /// Counts one sample of which class `c` holds (`label`), or is said to (`predicted`).
  static void add(std::span<double> counts, std::int64_t c, bool label, bool predicted);

  std::int64_t classes() const { return classes_; }
  double labels(std::int64_t c) const { return counts_[c]; }
  double predictions(std::int64_t c) const { return counts_[classes_ + c]; }
  double hits(std::int64_t c) const { return counts_[2 * classes_ + c]; }
  /// Of all classes.
  double all_hits() const;

  /// Unweighted mean of F1 over the classes that occur as label or prediction.
  double macro_f1() const;
  /// Of all classes' counts together.
  double micro_f1() const;
  /// JSON, a line a class: its name under `class_key`, how many there are under `count_key`,
  /// precision, recall, f1.
  std::string lines(const std::vector<std::string>& names, const char* class_key = "class",
                    const char* count_key = "samples") const;

 private:
  std::int64_t classes_;
  std::span<const double> counts_;
};

}  // namespace thaw
