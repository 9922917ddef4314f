#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace thaw {

/// Values as TOML writes them. Numbers are the shortest text that reads back to the same bits
/// (1e-05, not 1.0000000000000001e-05), with a point or an exponent, so that they stay numbers.
std::string toml_text(bool value);
std::string toml_text(std::int64_t value);
std::string toml_text(double value);
std::string toml_text(std::string_view value);
std::string toml_text(const std::vector<std::string>& values);
inline std::string toml_text(const std::string& value) {
  return toml_text(std::string_view(value));
}
std::string toml_text(const char* value) = delete;  // would be taken for a bool

/// A key: bare where TOML allows it, else in quotes.
std::string toml_key(std::string_view key);

}  // namespace thaw
