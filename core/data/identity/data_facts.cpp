#include "core/data/identity/data_facts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <span>
#include <vector>

#include "core/base/text_bytes.h"
#include "core/data/dataset.h"

namespace thaw {
namespace {

/// A list of names of which no two look alike.
std::string names_value(const std::vector<std::string>& names) {
  std::string text;
  bool plain = true;
  for (const std::string& name : names) {
    plain &= name.find_first_of("\"\\") == std::string::npos;
    text += fmt::format("{}\"{}\"", text.empty() ? "" : ", ", name);
  }
  if (plain && fact_value(text) == text) return text;
  std::string all;  // with lengths, which no name can imitate
  for (const std::string& name : names) all += fmt::format("{}:{}", name.size(), name);
  return fingerprint(all).hex();
}

template <class Number>
std::string hash_value(std::span<const Number> numbers) {
  return fingerprint(numbers.data(), numbers.size_bytes()).hex();
}

void add_split(const Split& split, const std::string& content, Facts& facts) {
  const std::string subject = split_subject(split.name());
  facts.push_back({subject, "samples", std::to_string(split.size())});
  if (!content.empty()) facts.push_back({subject, "inputs", content});
  if (!split.offsets().empty()) facts.push_back({subject, "lengths", hash_value(split.offsets())});
  if (split.format().pairs) facts.push_back({subject, "types", hash_value(split.types())});
  facts.push_back({subject, "labels", split.labels().fingerprint().hex()});
}

}  // namespace

std::string split_subject(const std::string& split) {
  return fmt::format("{}: split {}", kDataSubject, printable(split));
}

Facts data_facts(const Dataset& dataset, const std::map<std::string, std::string>& contents) {
  Facts facts = {
      {kDataSubject, "format", dataset.format().describe()},
      {kDataSubject, "task", fact_value(dataset.task())},
      {kDataSubject, "type of labels",
       dataset.split(dataset.split_names().front()).labels().describe_type()},
      {kDataSubject, "classes", names_value(dataset.classes())},
      {kDataSubject, "targets", names_value(dataset.targets())},
      {kDataSubject, "mean", fact_value(fmt::format("{}", fmt::join(dataset.mean(), ", ")))},
      {kDataSubject, "std",
       fact_value(fmt::format("{}", fmt::join(dataset.std_deviation(), ", ")))},
  };
  for (const auto& [name, content] : contents) {
    add_split(dataset.split(name).whole(), content, facts);
  }
  return facts;
}

}  // namespace thaw
