#include "core/tasks/class_counts.h"

#include <nlohmann/json.hpp>

#include "core/base/json_text.h"

namespace thaw {
namespace {

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

}  // namespace

void ClassCounts::add(std::span<double> counts, std::int64_t c, bool label, bool predicted) {
  const std::size_t classes = counts.size() / 3;
  const auto at = static_cast<std::size_t>(c);
  if (label) counts[at] += 1;
  if (predicted) counts[classes + at] += 1;
  if (label && predicted) counts[2 * classes + at] += 1;
}

double ClassCounts::all_hits() const {
  double correct = 0;
  for (std::int64_t c = 0; c < classes_; ++c) correct += hits(c);
  return correct;
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

double ClassCounts::micro_f1() const {
  double all = 0;
  for (std::int64_t c = 0; c < classes_; ++c) all += labels(c) + predictions(c);
  return ratio(2 * all_hits(), all);
}

std::string ClassCounts::lines(const std::vector<std::string>& names, const char* class_key,
                               const char* count_key) const {
  std::string lines;
  for (std::int64_t c = 0; c < classes_; ++c) {
    lines +=
        json_text(nlohmann::ordered_json{{class_key, names[static_cast<std::size_t>(c)]},
                                         {count_key, static_cast<std::int64_t>(labels(c))},
                                         {"precision", ratio(hits(c), predictions(c))},
                                         {"recall", ratio(hits(c), labels(c))},
                                         {"f1", ratio(2 * hits(c), labels(c) + predictions(c))}}) +
        "\n";
  }
  return lines;
}

}  // namespace thaw
