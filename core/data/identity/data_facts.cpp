#include "core/data/identity/data_facts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <span>
#include <utility>
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
  if (split.format().counts_bytes) facts.push_back({subject, "bytes", hash_value(split.bytes())});
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
  // By its function where that is known: the file may have been written again.
  const std::map<std::string, std::string>& tokens = dataset.tokens();
  for (const auto& [key, what] : {std::pair("tokenizer_function", "tokenizer"),
                                  std::pair("tokenizer_sha256", "tokenizer's file")}) {
    const auto found = tokens.find(key);
    if (found == tokens.end()) continue;
    facts.push_back({kDataSubject, what, fact_value(found->second)});
    break;
  }
  for (const auto& [name, content] : contents) {
    add_split(dataset.split(name).whole(), content, facts);
  }
  return facts;
}

}  // namespace thaw
