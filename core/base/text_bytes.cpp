#include "core/base/text_bytes.h"

#include <fmt/format.h>

#include <cstddef>

namespace thaw {
namespace {

// U+EF80 to U+EFFF, in UTF-8 0xEE 0xBE or 0xBF and a third byte, stand for bytes 0x80 to 0xFF.
constexpr unsigned char kLead = 0xee;
constexpr unsigned char kLow = 0xbe;
constexpr unsigned char kHigh = 0xbf;

unsigned char byte_at(std::string_view text, std::size_t i) {
  return static_cast<unsigned char>(text[i]);
}

/// Bytes of the character that `text` begins with; 0 where it begins with none.
std::size_t character_length(std::string_view text) {
  const unsigned char lead = byte_at(text, 0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte_at(text, i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte_at(text, 1);
  const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
  const bool surrogate = lead == 0xed && second > 0x9f;
  const bool too_large = lead == 0xf4 && second > 0x8f;
  return overlong || surrogate || too_large ? 0 : length;
}

/// ASCII's control characters, and U+0080 to U+009F, which terminals obey too.
bool is_control(std::string_view character) {
  const unsigned char lead = byte_at(character, 0);
  return lead < 0x20 || lead == 0x7f ||
         (character.size() == 2 && lead == 0xc2 && byte_at(character, 1) < 0xa0);
}

bool stands_for_a_byte(std::string_view character) {
  return character.size() == 3 && byte_at(character, 0) == kLead &&
         (byte_at(character, 1) == kLow || byte_at(character, 1) == kHigh);
}

std::string escape(std::string_view text, std::string_view kept) {
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = character_length(text.substr(i));
    const std::string_view character = text.substr(i, length == 0 ? 1 : length);
    const bool keeps = character.size() == 1 && kept.find(character) != std::string_view::npos;
    if (keeps || (length > 0 && !is_control(character))) {
      result += character;
    } else {
      for (const char c : character) {
        result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
      }
    }
    i += character.size();
  }
  return result;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string printable(std::string_view text) { return escape(text, ""); }

std::string printable_lines(std::string_view text) { return escape(text, "\n\t"); }

std::string utf8_of_bytes(std::string_view bytes) {
  std::string result;
  while (!bytes.empty()) {
    const std::size_t length = character_length(bytes);
    const std::string_view character = bytes.substr(0, length == 0 ? 1 : length);
    if (length > 0 && !stands_for_a_byte(character)) {
      result += character;
    } else {
      for (const char c : character) {
        const auto byte = static_cast<unsigned char>(c);
        result += static_cast<char>(kLead);
        result += static_cast<char>(byte < 0xc0 ? kLow : kHigh);
        result += static_cast<char>(0x80 | (byte & 0x3f));
      }
    }
    bytes.remove_prefix(character.size());
  }
  return result;
}

std::string bytes_of_utf8(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    const std::string_view character = text.substr(0, length == 0 ? 1 : length);
    if (stands_for_a_byte(character)) {
      const unsigned char high = byte_at(character, 1) == kLow ? 0x80 : 0xc0;
      result += static_cast<char>(high | (byte_at(character, 2) & 0x3f));
    } else {
      result += character;
    }
    text.remove_prefix(character.size());
  }
  return result;
}

}  // namespace thaw
