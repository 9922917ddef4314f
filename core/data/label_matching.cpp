#include "core/data/label_matching.h"

#include <cstddef>
#include <string_view>
#include <unordered_map>

namespace thaw {
namespace {

/// Rows of `width` columns from rows of `places.size()`.
template <class Value>
std::vector<Value> moved_columns(std::span<const Value> rows, std::span<const std::int64_t> places,
                                 std::size_t width) {
  const std::size_t before = places.size();
  std::vector<Value> moved(rows.size() / before * width, Value(0));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::int64_t place = places[i % before];
    if (place >= 0) moved[i / before * width + static_cast<std::size_t>(place)] = rows[i];
  }
  return moved;
}

}  // namespace

std::vector<std::int64_t> places_among(const std::vector<std::string>& own,
                                       const std::vector<std::string>& names) {
  std::unordered_map<std::string_view, std::int64_t> place;
  for (const std::string& name : names) {
    place.emplace(name, static_cast<std::int64_t>(place.size()));
  }
  std::vector<std::int64_t> places;
  for (const std::string& name : own) {
    const auto found = place.find(name);
    places.push_back(found == place.end() ? -1 : found->second);
  }
  return places;
}

bool are_the_same(std::span<const std::int64_t> places, std::int64_t width) {
  if (static_cast<std::int64_t>(places.size()) != width) return false;
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (places[i] != static_cast<std::int64_t>(i)) return false;
  }
  return true;
}

std::vector<std::int64_t> unplaced(const Labels& labels, std::span<const std::int64_t> places) {
  std::vector<bool> occurs(places.size(), labels.type() == LabelType::kValues);
  if (labels.type() == LabelType::kClass) {
    for (const std::int64_t label : labels.classes())
      occurs[static_cast<std::size_t>(label)] = true;
  } else if (labels.type() == LabelType::kTokens) {
    for (const std::int32_t label : labels.tokens().classes) {
      if (label >= 0) occurs[static_cast<std::size_t>(label)] = true;
    }
  } else if (labels.type() == LabelType::kFlags) {
    const std::span<const std::uint8_t> flags = labels.flags();
    for (std::size_t i = 0; i < flags.size(); ++i) {
      if (flags[i] != 0) occurs[i % places.size()] = true;
    }
  }
  std::vector<std::int64_t> numbers;
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (places[i] < 0 && occurs[i]) numbers.push_back(static_cast<std::int64_t>(i));
  }
  return numbers;
}

Labels renumbered(const Labels& labels, std::span<const std::int64_t> places, std::int64_t width) {
  const auto columns = static_cast<std::size_t>(width);
  switch (labels.type()) {
    case LabelType::kClass: {
      std::vector<std::int64_t> classes(labels.classes().begin(), labels.classes().end());
      for (std::int64_t& label : classes) label = places[static_cast<std::size_t>(label)];
      return Labels(std::move(classes));
    }
    case LabelType::kFlags:
      return Labels(moved_columns(labels.flags(), places, columns), width);
    case LabelType::kValues:
      return Labels(moved_columns(labels.values(), places, columns), width);
    case LabelType::kPrompts:
      return labels;
    case LabelType::kTokens: {
      TokenClasses tokens = labels.tokens();
      for (std::int32_t& label : tokens.classes) {
        if (label < 0) continue;
        const std::int64_t place = places[static_cast<std::size_t>(label)];
        label = place < 0 ? kNotCounted : static_cast<std::int32_t>(place);
      }
      return Labels(std::move(tokens));
    }
  }
  return labels;
}

}  // namespace thaw
