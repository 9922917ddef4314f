#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace thaw {

/// A 128-bit fingerprint (XXH3), equal on all hosts for equal bytes. Not cryptographic.
struct Fingerprint {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
  /// 32 lower-case hexadecimal digits.
  std::string hex() const;
};

Fingerprint fingerprint(const void* bytes, std::size_t size);
inline Fingerprint fingerprint(std::string_view text) {
  return fingerprint(text.data(), text.size());
}

}  // namespace thaw
