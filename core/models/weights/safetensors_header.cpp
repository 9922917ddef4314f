#include "core/models/weights/safetensors_header.h"

#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "core/base/error.h"
#include "core/base/text_bytes.h"

namespace thaw {
namespace {

constexpr std::array<std::pair<std::string_view, at::ScalarType>, 10> kDtypes = {{
    {"F64", at::kDouble},
    {"F32", at::kFloat},
    {"F16", at::kHalf},
    {"BF16", at::kBFloat16},
    {"I64", at::kLong},
    {"I32", at::kInt},
    {"I16", at::kShort},
    {"I8", at::kChar},
    {"U8", at::kByte},
    {"BOOL", at::kBool},
}};

/// A name as it may be printed: a hostile one could be endless, or steer a terminal.
std::string in_quotes(std::string_view name) {
  constexpr std::size_t kLongest = 200;
  return "\"" + printable(name.substr(0, kLongest)) + (name.size() > kLongest ? "...\"" : "\"");
}

/// Fills a SafetensorsHeader from the parser's events, and refuses any other form at once: a tree
/// of the whole document would cost many times its size, and would drop duplicate names.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(const std::string& path) : path_(path) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool number_float(number_float_t, const string_t& text) override {
    return unexpected("the number " + text.substr(0, 40));
  }
  bool binary(binary_t&) override { return unexpected("binary data"); }
  bool number_integer(number_integer_t value) override {
    return unexpected(fmt::format("the negative number {}", value));
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::kShape) {
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        fail("its shape is larger than any memory");
      }
      entry_.shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (place_ == Place::kOffsets && offsets_ < 2) {
      (offsets_++ == 0 ? entry_.begin : entry_.end) = value;
      return true;
    }
    return unexpected(fmt::format("the number {}", value));
  }

  bool string(string_t& text) override {
    if (place_ == Place::kMetadata && !key_.empty()) {
      header_.metadata[std::exchange(key_, "")] = text;
      return true;
    }
    if (place_ == Place::kTensor && key_ == "dtype") {
      entry_.dtype = safetensors_scalar_type(text);
      if (entry_.dtype == at::ScalarType::Undefined) {
        fail(
            fmt::format("its dtype {} is not one of F64, F32, F16, BF16, I64, I32, I16, I8, U8, "
                        "BOOL",
                        in_quotes(text)));
      }
      return true;
    }
    return unexpected("the string " + in_quotes(text));
  }

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::kStart:
        place_ = Place::kTop;
        return true;
      case Place::kTop:
        if (entry_.name == "__metadata__") {
          place_ = Place::kMetadata;
          key_.clear();
        } else {
          place_ = Place::kTensor;
          fields_.clear();
        }
        return true;
      default:
        return unexpected("an object");
    }
  }

  bool key(string_t& name) override {
    if (place_ == Place::kTop) {
      if (!names_.insert(name).second) {
        throw InputError(fmt::format("{}: the header names {} twice", path_, in_quotes(name)));
      }
      entry_ = {};
      entry_.name = name;
      offsets_ = 0;
      return true;
    }
    key_ = name;
    if (place_ == Place::kMetadata) {
      if (header_.metadata.contains(name)) {
        throw InputError(
            fmt::format("{}: the header's metadata names {} twice", path_, in_quotes(name)));
      }
      return true;
    }
    if (name != "dtype" && name != "shape" && name != "data_offsets") {
      fail(fmt::format("unknown field {} in the header", in_quotes(name)));
    }
    if (std::find(fields_.begin(), fields_.end(), name) != fields_.end()) {
      fail(fmt::format("its {} is given twice", name));
    }
    fields_.push_back(name);
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor) {
      finish_tensor();
    }
    // The parser closes what it opened: kTop's end is the document's.
    place_ = place_ == Place::kTop ? Place::kEnd : Place::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::kTensor && key_ == "shape") {
      place_ = Place::kShape;
      return true;
    }
    if (place_ == Place::kTensor && key_ == "data_offsets") {
      place_ = Place::kOffsets;
      return true;
    }
    return unexpected("an array");
  }

  bool end_array() override {
    if (place_ == Place::kOffsets && offsets_ != 2) {
      fail("its data_offsets are not two numbers");
    }
    place_ = Place::kTensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    throw InputError(
        fmt::format("{}: not a safetensors file: its header is not JSON (at byte {} of the header)",
                    path_, position));
  }

 private:
  enum class Place { kStart, kTop, kMetadata, kTensor, kShape, kOffsets, kEnd };

  [[noreturn]] void fail(const std::string& what) const {
    throw InputError(fmt::format("{}: tensor {}: {}", path_, in_quotes(entry_.name), what));
  }

  /// Always throws; returns bool to stand in an event's return statement.
  bool unexpected(const std::string& what) const {
    if (place_ == Place::kStart) {
      throw InputError(
          fmt::format("{}: not a safetensors file: its header is no object but {}", path_, what));
    }
    if (place_ == Place::kMetadata || entry_.name == "__metadata__") {
      throw InputError(
          fmt::format("{}: the header's metadata holds {} where a string must be", path_, what));
    }
    fail(fmt::format("the header holds {} where it must not be", what));
  }

  void finish_tensor() {
    if (fields_.size() != 3) {
      fail("the header lacks its dtype, shape or data_offsets");
    }
    header_.entries.push_back(std::move(entry_));
    entry_ = {};
  }

  const std::string& path_;
  SafetensorsHeader header_;
  std::unordered_set<std::string> names_;
  Place place_ = Place::kStart;
  SafetensorsEntry entry_;           ///< being read
  std::vector<std::string> fields_;  ///< of it, seen so far
  std::string key_;                  ///< last key inside a tensor or the metadata
  int offsets_ = 0;                  ///< of it, seen so far
};

/// Bytes that shape and dtype need; refuses what overflows, also where a zero hides it.
std::uint64_t stated_bytes(const SafetensorsEntry& entry, const std::string& path) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  std::uint64_t with_zeros = 1;
  std::uint64_t size = c10::elementSize(entry.dtype);
  for (const std::int64_t dimension : entry.shape) {
    const auto extent = static_cast<std::uint64_t>(std::max<std::int64_t>(dimension, 1));
    if (extent > kMost / size) {
      throw InputError(fmt::format("{}: tensor {}: its shape is larger than any memory", path,
                                   in_quotes(entry.name)));
    }
    size *= extent;
    with_zeros = dimension == 0 ? 0 : with_zeros;
  }
  return size * with_zeros;
}

void check_layout(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_bytes,
                  const std::string& path) {
  std::uint64_t covered = 0;
  const SafetensorsEntry* previous = nullptr;
  for (const SafetensorsEntry& entry : entries) {
    const auto fail = [&](const std::string& what) {
      throw InputError(fmt::format("{}: tensor {}: {}", path, in_quotes(entry.name), what));
    };
    if (entry.begin > entry.end) {
      fail(fmt::format("its data ends at byte {}, before it begins at {}", entry.end, entry.begin));
    }
    if (entry.end > data_bytes) {
      fail(
          fmt::format("its data ends at byte {} of a data section of {} bytes; the file is cut "
                      "short or its header is wrong",
                      entry.end, data_bytes));
    }
    const std::uint64_t stated = stated_bytes(entry, path);
    if (entry.end - entry.begin != stated) {
      fail(fmt::format("shape and dtype need {} bytes, its data_offsets span {}", stated,
                       entry.end - entry.begin));
    }
    if (entry.begin < covered) {
      fail(fmt::format("its data overlaps that of tensor {}", in_quotes(previous->name)));
    }
    if (entry.begin > covered) {
      fail(fmt::format("{} bytes before its data belong to no tensor", entry.begin - covered));
    }
    covered = entry.end;
    previous = &entry;
  }
  if (covered != data_bytes) {
    throw InputError(
        fmt::format("{}: {} bytes at its end belong to no tensor", path, data_bytes - covered));
  }
}

}  // namespace

at::ScalarType safetensors_scalar_type(std::string_view name) {
  for (const auto& [text, dtype] : kDtypes) {
    if (text == name) {
      return dtype;
    }
  }
  return at::ScalarType::Undefined;
}

std::string safetensors_dtype(at::ScalarType dtype) {
  for (const auto& [text, known] : kDtypes) {
    if (known == dtype) {
      return std::string(text);
    }
  }
  return "";
}

SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_bytes,
                                           const std::string& path) {
  HeaderReader reader(path);
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  SafetensorsHeader header = reader.take();
  // An empty tensor may share its offset with its neighbours; stable for equal ones.
  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
                     return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
                   });
  check_layout(header.entries, data_bytes, path);
  return header;
}

}  // namespace thaw
