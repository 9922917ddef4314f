#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace thaw {

/// Longest header that is read, as in the reference implementation.
inline constexpr std::uint64_t kLongestSafetensorsHeader = 100'000'000;

/// A safetensors file taken apart: views of its bytes.
struct SafetensorsParts {
  std::string_view header;  ///< JSON, unchecked; begins with "{"
  std::string_view data;
};

/// The parts of `file`, all bytes of a file, of which nothing is known. `path` is for messages.
/// Throws InputError where the header does not fit the file, or is none by its beginning.
SafetensorsParts safetensors_parts(std::string_view file, const std::string& path);

}  // namespace thaw
