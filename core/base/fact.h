#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace thaw {

/// Something that must be equal on all ranks, in words that an error can show: what of which
/// subject (a parameter's name; "" for the whole) has which value.
struct Fact {
  std::string subject;
  std::string what;
  std::string value;

  friend bool operator==(const Fact&, const Fact&) = default;
};

using Facts = std::vector<Fact>;

/// One line a fact, fields separated by tabs: what fingerprints are taken over, and what travels.
std::string encode(const Facts& facts);
Facts decode_facts(const std::string& text);

/// Any bytes as the value of a fact: short text in ASCII stays itself, anything else becomes its
/// fingerprint.
std::string fact_value(std::string_view bytes);

/// Values by "subject: what".
std::map<std::string, std::string> facts_by_name(const Facts& facts);

}  // namespace thaw
