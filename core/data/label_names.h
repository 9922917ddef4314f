#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/data/labels.h"

namespace thaw {

struct DatasetAttributes;

/// What the labels of a dataset's splits must have in common, found split by split.
class LabelNames {
 public:
  /// Throws InputError, beginning with `where`, for labels that are not like those before, or that
  /// do not fit the names in `attributes`. Labels as such are good (Labels::objection).
  void add(const Labels& labels, const DatasetAttributes& attributes, const std::string& where);
  /// Names in `attributes` the classes that it leaves without a name, "0" to the last; where labels
  /// are numbers there are none. Throws InputError for far more of them than samples.
  void complete(DatasetAttributes& attributes) const;

 private:
  void count_classes(std::int64_t classes, const std::string& where);

  std::optional<Labels> first_;  ///< none of them, but of their type and width
  std::int64_t classes_ = 0;     ///< as many as labels tell apart
  std::string where_;            ///< the largest number of a class is
  std::int64_t samples_ = 0;     ///< that are labelled; of classes of tokens: tokens
};

}  // namespace thaw
