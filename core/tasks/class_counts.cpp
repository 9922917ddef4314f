#include "core/tasks/class_counts.h"

namespace thaw {
namespace {

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

}  // namespace

ClassCounts::ClassCounts(std::int64_t classes)
    : classes_(classes), sums_(static_cast<std::size_t>(2 + 3 * classes), 0.0) {}

void ClassCounts::add_loss(double sum) { sums_[0] += sum; }

void ClassCounts::add(std::int64_t label, std::int64_t predicted) {
  sums_[1] += 1;
  sums_[2 + label] += 1;
  sums_[2 + classes_ + predicted] += 1;
  if (label == predicted) {
    sums_[2 + 2 * classes_ + label] += 1;
  }
}

double ClassCounts::mean_loss() const { return ratio(sums_[0], sums_[1]); }

double ClassCounts::accuracy() const {
  double correct = 0;
  for (std::int64_t c = 0; c < classes_; ++c) {
    correct += hits(c);
  }
  return ratio(correct, sums_[1]);
}

double ClassCounts::macro_f1() const {
  double sum = 0;
  double occurring = 0;
  for (std::int64_t c = 0; c < classes_; ++c) {
    if (labels(c) + predictions(c) > 0) {
      sum += 2 * hits(c) / (labels(c) + predictions(c));
      occurring += 1;
    }
  }
  return ratio(sum, occurring);
}

std::vector<ClassCounts::Row> ClassCounts::rows() const {
  std::vector<Row> rows;
  for (std::int64_t c = 0; c < classes_; ++c) {
    rows.push_back({static_cast<std::int64_t>(labels(c)), ratio(hits(c), predictions(c)),
                    ratio(hits(c), labels(c)), ratio(2 * hits(c), labels(c) + predictions(c))});
  }
  return rows;
}

}  // namespace thaw
