#include "core/kernels/gpu/image_pixels.h"

#include "tests/core/kernels/gpu/operands.h"

namespace thaw {
namespace {

template <typename E>
void check(std::int64_t channels, std::int64_t height, std::int64_t width, bool varied) {
  const std::int64_t images = 3;
  const std::vector<float> mean = {0.485F, 0.456F, 0.406F}, deviation = {0.229F, 0.224F, 0.225F};
  const std::vector<std::int32_t> variations = {0, 0, 1, -2, 1, 0, 1, -3, 1};
  std::vector<std::uint8_t> bytes;
  for (std::int64_t i = 0; i < images * channels * height * width; ++i) {
    bytes.push_back(static_cast<std::uint8_t>(i * 37 + i / 7));
  }
  emulated::Grid grid;
  gpu::ImagePixels<emulated::Memory, E> kernel;
  kernel.bytes = grid.input("bytes", bytes);
  kernel.mean = grid.input("mean", mean);
  kernel.deviation = grid.input("deviation", deviation);
  if (varied) kernel.variations = grid.input("variations", variations);
  kernel.output = grid.output<E>("output", images * channels * height * width);
  kernel.images = images;
  kernel.channels = channels;
  kernel.height = height;
  kernel.width = width;
  grid.run(kernel);

  std::vector<double> expected;
  for (std::int64_t n = 0; n < images; ++n) {
    const auto v = static_cast<std::size_t>(n) * 3;
    for (std::int64_t i = 0; i < height * width; ++i) {
      const std::int64_t column = i % width;
      const std::int64_t y = i / width + (varied ? variations[v] : 0);
      const std::int64_t x = (varied && variations[v + 2] != 0 ? width - 1 - column : column) +
                             (varied ? variations[v + 1] : 0);
      for (std::int64_t c = 0; c < channels; ++c) {
        const bool inside = y >= 0 && y < height && x >= 0 && x < width;
        const auto at = static_cast<std::size_t>(((n * channels + c) * height + y) * width + x);
        const float scaled = static_cast<float>(inside ? bytes[at] : 0) / 255.0F;
        const auto channel = static_cast<std::size_t>(c);
        // In float32 these are the host's bits.
        expected.push_back(
            value_of(gpu::Narrow<E>::of((scaled - mean[channel]) / deviation[channel])));
      }
    }
  }
  expect_near(kernel.output, expected, 0);
}

TEST(ImagePixels, AreNormalisedAndVariedAsOnTheHost) {
  for (const bool varied : {false, true}) {
    check<float>(3, 5, 33, varied);
    check<float>(1, 1, 1, varied);
    check<BFloat16Bits>(3, 4, 31, varied);
  }
}

}  // namespace
}  // namespace thaw
