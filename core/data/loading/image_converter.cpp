#include "core/data/loading/image_converter.h"

#include <algorithm>
#include <cstring>

namespace thaw {
namespace {

/// uint8 values looked up.
struct TableLookup {
  static constexpr std::int64_t kBytes = 1;
  const float* table;
  float operator()(const std::byte* at) const { return table[std::to_integer<int>(*at)]; }
  float zero() const { return table[0]; }
};

/// float32 values computed.
struct Normalisation {
  static constexpr std::int64_t kBytes = 4;
  float mean;
  float deviation;
  float operator()(const std::byte* at) const {
    float value;
    std::memcpy(&value, at, sizeof(value));  // files align nothing
    return (value - mean) / deviation;
  }
  float zero() const { return (0.0F - mean) / deviation; }
};

/// uint8 values as they are.
struct SameByte {
  static constexpr std::int64_t kBytes = 1;
  std::uint8_t operator()(const std::byte* at) const { return std::to_integer<std::uint8_t>(*at); }
  std::uint8_t zero() const { return 0; }
};

/// One row of one channel, whose columns lie `stride` elements apart in the result. `row` is null
/// outside of the image: zeros.
template <typename Value, typename Element>
void convert_row(const Value& value, const std::byte* row, std::int64_t width,
                 const Augmentation& augmentation, std::int64_t stride, Element* result) {
  // Mirroring is walking backwards.
  Element* out = augmentation.flip ? result + (width - 1) * stride : result;
  const std::int64_t step = augmentation.flip ? -stride : stride;
  const std::int64_t right = augmentation.right;
  const std::int64_t first = row == nullptr ? width : std::clamp<std::int64_t>(-right, 0, width);
  const std::int64_t last = std::clamp<std::int64_t>(width - right, first, width);
  const Element zero = value.zero();
  std::int64_t x = 0;
  for (; x < first; ++x) out[x * step] = zero;
  for (; x < last; ++x) out[x * step] = value(row + (x + right) * Value::kBytes);
  for (; x < width; ++x) out[x * step] = zero;
}

/// Calls `body(row, channel, out)` for each row of each channel of the result; `row` is null
/// outside of the image.
template <typename Element, typename Body>
void for_each_row(const SampleFormat& format, const std::byte* image,
                  const Augmentation& augmentation, Element* result, const Body& body) {
  const std::int64_t row_bytes = format.width * format.element_bytes();
  for (std::int64_t y = 0; y < format.height; ++y) {
    const std::int64_t from = y + augmentation.down;
    const bool inside = from >= 0 && from < format.height;
    // Channels innermost, so that the result's row stays in the processor's nearest cache.
    for (std::int64_t c = 0; c < format.channels; ++c) {
      body(inside ? image + (c * format.height + from) * row_bytes : nullptr, c,
           result + y * format.width * format.channels + c);
    }
  }
}

}  // namespace

ImageConverter::ImageConverter(const SampleFormat& format, const std::vector<double>& mean,
                               const std::vector<double>& deviation)
    : format_(format),
      mean_(mean.begin(), mean.end()),
      deviation_(deviation.begin(), deviation.end()) {
  mean_.resize(format.channels, 0.0F);
  deviation_.resize(format.channels, 1.0F);
  if (!format.bytes) return;
  for (std::int64_t c = 0; c < format.channels; ++c) {
    for (int value = 0; value < 256; ++value) {
      const float scaled = static_cast<float>(value) / 255.0F;
      table_.push_back((scaled - mean_[c]) / deviation_[c]);
    }
  }
}

void ImageConverter::convert(const std::byte* image, const Augmentation& augmentation,
                             float* result) const {
  for_each_row(format_, image, augmentation, result,
               [&](const std::byte* row, std::int64_t c, float* out) {
                 if (format_.bytes) {
                   convert_row(TableLookup{&table_[c * 256]}, row, format_.width, augmentation,
                               format_.channels, out);
                 } else {
                   convert_row(Normalisation{mean_[c], deviation_[c]}, row, format_.width,
                               augmentation, format_.channels, out);
                 }
               });
}

void ImageConverter::place(const std::byte* image, const Augmentation& augmentation,
                           std::uint8_t* result) const {
  for_each_row(format_, image, augmentation, result,
               [&](const std::byte* row, std::int64_t, std::uint8_t* out) {
                 convert_row(SameByte{}, row, format_.width, augmentation, format_.channels, out);
               });
}

}  // namespace thaw
