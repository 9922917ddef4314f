#include "core/base/fact.h"

#include <cstddef>

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

}  // namespace thaw
