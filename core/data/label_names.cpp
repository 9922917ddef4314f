#include "core/data/label_names.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/data/hdf5/dataset_attributes.h"

namespace thaw {
namespace {

/// More classes than this without names are labels that are no class numbers.
constexpr std::int64_t kMaxClasses = 1 << 22;

/// So many need no sample each, and cost nothing.
constexpr std::int64_t kFewClasses = 4096;

/// Throws where a class number has no name, or is none. Returns the largest. `what`: has one each.
template <class Number>
std::int64_t check_classes(std::span<const Number> labels, std::int64_t named, const char* what,
                           const std::string& where) {
  const auto largest = std::max_element(labels.begin(), labels.end());
  const std::int64_t sample = largest - labels.begin();
  if (named > 0 && *largest >= named) {
    throw InputError(
        fmt::format("{}: {} {} has label {}, but attribute \"classes\" names {} classes, so labels "
                    "must be below {}",
                    where, what, sample, *largest, named, named));
  }
  if (*largest >= kMaxClasses) {
    throw InputError(
        fmt::format("{}: {} {} has label {}; labels must be class numbers from 0 on, below {}",
                    where, what, sample, *largest, kMaxClasses));
  }
  return *largest;
}

/// Throws where names are given, and not one a column.
void check_columns(const Labels& labels, std::size_t names, const char* attribute,
                   const std::string& where) {
  if (names == 0 || static_cast<std::int64_t>(names) == labels.width()) return;
  throw InputError(fmt::format("{}: labels are {}, but attribute \"{}\" names {}", where,
                               labels.describe_type(), attribute, names));
}

}  // namespace

void LabelNames::add(const Labels& labels, const DatasetAttributes& attributes,
                     const std::string& where) {
  if (labels.type() == LabelType::kValues && !attributes.classes.empty()) {
    throw InputError(
        fmt::format("{}: dtype is float32, must be int64 where attribute \"classes\" names what "
                    "labels stand for (numpy: .astype(\"int64\"))",
                    where));
  }
  if (!first_) {
    first_ = labels.of({});
  } else if (first_->describe_type() != labels.describe_type()) {
    throw InputError(fmt::format("{}: labels are {}, but those before {}; all splits must be alike",
                                 where, labels.describe_type(), first_->describe_type()));
  }
  samples_ += labels.size();
  const auto named = static_cast<std::int64_t>(attributes.classes.size());
  switch (labels.type()) {
    case LabelType::kClass:
      count_classes(check_classes(labels.classes(), named, "sample", where) + 1, where);
      break;
    case LabelType::kTokens: {
      const std::span<const std::int32_t> classes = labels.tokens().classes;
      samples_ += static_cast<std::int64_t>(classes.size()) - labels.size();
      count_classes(check_classes(classes, named, "token", where) + 1, where);
      break;
    }
    case LabelType::kPrompts:
      if (named == 0 && attributes.targets.empty()) break;
      throw InputError(
          fmt::format("{}: labels are {}, but attribute \"{}\" names what labels stand for: give "
                      "the labels, or "
                      "leave the attribute out",
                      where, labels.describe_type(), named > 0 ? "classes" : "targets"));
    case LabelType::kFlags:
      check_columns(labels, attributes.classes.size(), "classes", where);
      classes_ = labels.width();
      break;
    case LabelType::kValues:
      check_columns(labels, attributes.targets.size(), "targets", where);
      break;
  }
}

void LabelNames::count_classes(std::int64_t classes, const std::string& where) {
  if (classes > classes_) where_ = where;
  classes_ = std::max(classes_, classes);
}

void LabelNames::complete(DatasetAttributes& attributes) const {
  if (attributes.classes.empty() && !where_.empty() && classes_ > kFewClasses &&
      classes_ > samples_) {
    throw InputError(fmt::format(
        "{}: labels go up to {}, but there are only {} {}: they look like ids; number the classes "
        "from 0 on, alike in all splits, or name all {} in attribute \"classes\"",
        where_, classes_ - 1, samples_, first_->type() == LabelType::kTokens ? "tokens" : "samples",
        classes_));
  }
  for (auto i = static_cast<std::int64_t>(attributes.classes.size()); i < classes_; ++i) {
    attributes.classes.push_back(std::to_string(i));
  }
}

}  // namespace thaw
