#include "launch/option_values.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>
#include <sstream>

#include "core/base/error.h"

namespace thaw {
namespace {

[[noreturn]] void refuse(const std::string& option, const std::string& text,
                         const std::string& expected) {
  throw InputError(fmt::format("{} {}: expected {}", option, text, expected));
}

/// False where the whole of `text` is no such number.
template <typename Number>
bool read(const std::string& text, Number& value) {
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  return error == std::errc() && end == last;
}

}  // namespace

std::vector<std::string> list_of(const std::string& option, const std::string& text) {
  std::vector<std::string> items;
  std::istringstream stream(text);
  for (std::string item; std::getline(stream, item, ',');) {
    if (!item.empty()) items.push_back(item);
  }
  if (items.empty()) refuse(option, text, "a comma-separated list");
  if (std::set<std::string>(items.begin(), items.end()).size() != items.size()) {
    refuse(option, text, "each item once");
  }
  return items;
}

std::int64_t whole_number_of(const std::string& option, const std::string& text,
                             std::int64_t least) {
  std::int64_t value = 0;
  if (!read(text, value) || value < least) {
    refuse(option, text, fmt::format("a whole number of at least {}", least));
  }
  return value;
}

double positive_number_of(const std::string& option, const std::string& text, double most) {
  double value = 0;
  if (!read(text, value) || !(value > 0) || value > most) {
    const bool bounded = most < std::numeric_limits<double>::max();
    refuse(option, text,
           fmt::format("a number above 0{}", bounded ? fmt::format(", at most {:g}", most) : ""));
  }
  return value;
}

std::string word_of(const std::string& option, const std::string& text,
                    std::initializer_list<const char*> words) {
  if (std::find(words.begin(), words.end(), text) == words.end()) {
    const auto last = words.end() - 1;
    refuse(option, text, fmt::format("{} or {}", fmt::join(words.begin(), last, ", "), *last));
  }
  return text;
}

}  // namespace thaw
