#include "core/base/fact.h"

#include <algorithm>
#include <cstddef>

#include "core/base/hash.h"

namespace thaw {

std::string encode(const Facts& facts) {
  std::string text;
  for (const Fact& fact : facts) {
    text.append(fact.subject).append("\t").append(fact.what).append("\t").append(fact.value);
    text.push_back('\n');
  }
  return text;
}

Facts decode_facts(const std::string& text) {
  Facts facts;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    const std::string line = text.substr(begin, end - begin);
    const std::size_t first = line.find('\t');
    const std::size_t second = line.find('\t', first + 1);
    facts.push_back({line.substr(0, first), line.substr(first + 1, second - first - 1),
                     line.substr(second + 1)});
    begin = end + 1;
  }
  return facts;
}

std::string fact_value(std::string_view bytes) {
  constexpr std::size_t kShort = 80;
  const bool plain = bytes.size() <= kShort && std::all_of(bytes.begin(), bytes.end(), [](char c) {
                       return c >= ' ' && c <= '~';
                     });
  return plain ? std::string(bytes) : fingerprint(bytes).hex();
}

std::map<std::string, std::string> facts_by_name(const Facts& facts) {
  std::map<std::string, std::string> values;
  for (const Fact& fact : facts) values[fact.subject + ": " + fact.what] = fact.value;
  return values;
}

}  // namespace thaw
