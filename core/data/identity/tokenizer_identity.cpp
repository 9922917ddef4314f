#include "core/data/identity/tokenizer_identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "core/base/json_text.h"

namespace thaw {
namespace {

using nlohmann::json;

constexpr const char* kFile = "tokenizer_sha256";
constexpr const char* kFunction = "tokenizer_function";

/// The rounds' constants: of the cube roots of the first 64 primes the first 32 bits behind the
/// point.
constexpr std::array<std::uint32_t, 64> kRounds = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

constexpr std::size_t kBlock = 64;

void add_block(const char* bytes, std::array<std::uint32_t, 8>& state) {
  std::array<std::uint32_t, 64> w{};
  for (std::size_t i = 0; i < kBlock; ++i) {
    w[i / 4] = w[i / 4] << 8 | static_cast<unsigned char>(bytes[i]);
  }
  for (std::size_t i = 16; i < w.size(); ++i) {
    const std::uint32_t a = w[i - 15];
    const std::uint32_t b = w[i - 2];
    w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3) + w[i - 7] +
           (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10);
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const std::uint32_t one = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) +
                              ((e & f) ^ (~e & g)) + kRounds[i] + w[i];
    const std::uint32_t two =
        (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + one;
    d = c;
    c = b;
    b = a;
    a = one + two;
  }
  const std::array<std::uint32_t, 8> more = {a, b, c, d, e, f, g, h};
  for (std::size_t i = 0; i < state.size(); ++i) state[i] += more[i];
}

/// As Python writes a float: the fewest digits that tell it from others.
std::string python_float(double value) {
  std::array<char, 32> space{};
  const auto end =
      std::to_chars(space.begin(), space.end(), value, std::chars_format::scientific).ptr;
  std::string text(space.begin(), end);
  const std::size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  if (exponent < -4 || exponent >= 16) return text;
  std::string digits = text.substr(0, e);
  const std::string sign = digits.starts_with('-') ? "-" : "";
  std::erase_if(digits, [](char c) { return c == '.' || c == '-'; });
  if (exponent < 0) {
    return sign + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  }
  const auto point = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= point) digits.append(point + 1 - digits.size(), '0');
  return sign + digits.insert(point, ".");
}

/// As Python's `json.dumps(value, sort_keys=True)` writes it, at the end of `text`.
void add_python_text(const json& value, std::string& text) {
  if (value.is_number_float()) {
    text += python_float(value.get<double>());
  } else if (value.is_array() || value.is_object()) {
    const bool object = value.is_object();
    const char* between = "";
    text += object ? '{' : '[';
    for (const auto& [key, each] : value.items()) {
      text += between;
      if (object) text += json(key).dump(-1, ' ', /*ensure_ascii=*/true) + ": ";
      add_python_text(each, text);
      between = ", ";
    }
    text += object ? '}' : ']';
  } else {
    text += value.dump(-1, ' ', /*ensure_ascii=*/true);
  }
}

/// What decides a text's tokens, as `_function_of` of tokens.py has it.
std::string function_of(json value) {
  std::string direction = "right";
  const auto cut = value.find("truncation");
  if (cut != value.end() && cut->is_object() && cut->contains("direction") &&
      cut->at("direction").is_string()) {
    direction = cut->at("direction").get<std::string>();
  }
  std::transform(direction.begin(), direction.end(), direction.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* key : {"truncation", "padding", "version"}) value.erase(key);
  value["direction"] = direction;
  std::string text;
  add_python_text(value, text);
  return sha256(text);
}

}  // namespace

std::string sha256(std::string_view bytes) {
  std::array<std::uint32_t, 8> state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  const std::size_t whole = bytes.size() / kBlock * kBlock;
  for (std::size_t i = 0; i < whole; i += kBlock) add_block(bytes.data() + i, state);
  // A bit 1, zeros, and the number of bits fill the last block up.
  std::string rest(bytes.substr(whole));
  rest += '\x80';
  rest.append((2 * kBlock - 8 - rest.size()) % kBlock, '\0');
  for (int shift = 56; shift >= 0; shift -= 8) {
    rest += static_cast<char>(std::uint64_t{bytes.size()} * 8 >> shift);
  }
  for (std::size_t i = 0; i < rest.size(); i += kBlock) add_block(rest.data() + i, state);
  std::string text;
  for (const std::uint32_t word : state) text += fmt::format("{:08x}", word);
  return text;
}

std::map<std::string, std::string> tokenizer_identity(std::string_view text) {
  std::map<std::string, std::string> identity = {{kFile, sha256(text)}};
  const json value =
      json_is_deeper(text) ? json() : json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_object()) identity[kFunction] = function_of(value);
  return identity;
}

bool may_be_one_tokenizer(const std::map<std::string, std::string>& one,
                          const std::map<std::string, std::string>& other) {
  for (const char* key : {kFunction, kFile}) {
    const auto mine = one.find(key);
    const auto theirs = other.find(key);
    if (mine != one.end() && theirs != other.end()) return mine->second == theirs->second;
  }
  return true;
}

}  // namespace thaw
