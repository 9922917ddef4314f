#include "core/kernels/gpu/rows/image_pixels.h"

#include "tests/core/kernels/gpu/operands.h"

namespace thaw {
namespace {

template <typename E>
void check(std::int64_t count, std::int64_t channels) {
  std::vector<float> numbers = {255};
  for (std::int64_t i = 0; i < 2 * channels; ++i) {
    numbers.push_back(0.485F - 0.03F * static_cast<float>(i));
  }
  std::vector<std::uint8_t> bytes;
  for (std::int64_t i = 0; i < count; ++i) {
    bytes.push_back(static_cast<std::uint8_t>(i * 37 + i / 7));
  }
  emulated::Grid grid;
  gpu::ImagePixels<emulated::Memory, E> kernel;
  kernel.bytes = grid.input("bytes", bytes);
  kernel.numbers = grid.input("numbers", numbers);
  kernel.output = grid.output<E>("output", count);
  kernel.count = count;
  kernel.channels = channels;
  grid.run(kernel);
  std::vector<double> expected;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto c = i % static_cast<std::size_t>(channels);
    const float scaled = static_cast<float>(bytes[i]) / 255.0F;
    const float mean = numbers[1 + c];
    const float deviation = numbers[1 + static_cast<std::size_t>(channels) + c];
    expected.push_back(value_of(gpu::Narrow<E>::of((scaled - mean) / deviation)));
  }
  expect_near(kernel.output, expected, 0);  // every bit
}

TEST(ImagePixels, AreNormalisedAsOnTheHost) {
  for (const std::int64_t pixels : {0, 1, 341, 342, 700}) {
    check<float>(pixels * 3, 3);
    check<float>(pixels, 1);
    check<BFloat16Bits>(pixels * 3, 3);
  }
}

}  // namespace
}  // namespace thaw
