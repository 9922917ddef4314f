#pragma once

#include <string>
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

}  // namespace thaw
