#include "core/data/loading/image_converter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <tuple>
#include <vector>

#include "tests/core/data/hdf5_writer.h"

namespace thaw {
namespace {

constexpr std::int64_t kChannels = 3;
constexpr std::int64_t kHeight = 5;
constexpr std::int64_t kWidth = 7;
const std::vector<double> kMean = {0.485, 0.456, 0.406};
const std::vector<double> kDeviation = {0.229, 0.224, 0.225};

/// What torchvision does, written as plainly as can be: pad, crop, flip, scale, normalise.
float expected(std::int64_t sample, std::int64_t c, std::int64_t y, std::int64_t x,
               const Augmentation& augmentation, bool bytes) {
  if (augmentation.flip) x = kWidth - 1 - x;
  y += augmentation.down;
  x += augmentation.right;
  const bool inside = y >= 0 && y < kHeight && x >= 0 && x < kWidth;
  float value = inside ? static_cast<float>(test_pixel(sample, c, y, x)) : 0.0F;
  if (bytes) value /= 255.0F;
  return (value - static_cast<float>(kMean[c])) / static_cast<float>(kDeviation[c]);
}

std::vector<std::byte> stored_image(std::int64_t sample, bool bytes) {
  const std::vector<std::uint8_t> pixels = test_images(sample + 1, kChannels, kHeight, kWidth);
  const std::size_t count = kChannels * kHeight * kWidth;
  std::vector<std::byte> stored(count * (bytes ? 1 : 4));
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t pixel = pixels[sample * count + i];
    const auto value = static_cast<float>(pixel);
    std::memcpy(&stored[i * (bytes ? 1 : 4)], bytes ? static_cast<const void*>(&pixel) : &value,
                bytes ? 1 : 4);
  }
  return stored;
}

class ImageConverterTest : public testing::TestWithParam<bool> {};

TEST_P(ImageConverterTest, CropsFlipsAndNormalisesEveryPixelToTheBit) {
  const bool bytes = GetParam();
  const SampleFormat format = {DataKind::kImages, kChannels, kHeight, kWidth, bytes};
  const ImageConverter converter(format, kMean, kDeviation);
  const std::vector<std::byte> image = stored_image(2, bytes);
  std::vector<float> result(kChannels * kHeight * kWidth);
  for (std::int64_t down = -5; down <= 5; ++down) {
    for (std::int64_t right = -8; right <= 8; ++right) {
      for (const bool flip : {false, true}) {
        const Augmentation augmentation = {down, right, flip};
        converter.convert(image.data(), augmentation, result.data());
        for (std::int64_t y = 0; y < kHeight; ++y)
          for (std::int64_t x = 0; x < kWidth; ++x)
            for (std::int64_t c = 0; c < kChannels; ++c)
              ASSERT_EQ(result[(y * kWidth + x) * kChannels + c],
                        expected(2, c, y, x, augmentation, bytes))
                  << down << " " << right << " " << flip << " at " << y << " " << x << " " << c;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, ImageConverterTest, testing::Values(true, false));

TEST(ImageConverterTest, WithoutMeanBytesAreScaledAndFloatsUntouched) {
  const SampleFormat format = {DataKind::kImages, 1, 1, 2, true};
  const std::vector<std::uint8_t> pixels = {0, 255};
  float result[2];
  ImageConverter(format, {}, {})
      .convert(reinterpret_cast<const std::byte*>(pixels.data()), {}, result);
  EXPECT_EQ(result[0], 0.0F);
  EXPECT_EQ(result[1], 1.0F);
  const std::vector<float> values = {-300.5F, 7.25F};
  ImageConverter({DataKind::kImages, 1, 1, 2, false}, {}, {})
      .convert(reinterpret_cast<const std::byte*>(values.data()), {}, result);
  EXPECT_EQ(result[0], -300.5F);
  EXPECT_EQ(result[1], 7.25F);
}

TEST(Augmentation, IsAFunctionOfSeedEpochAndSampleAlone) {
  const AugmentationOptions options = {4, true, 17};
  EXPECT_EQ(draw_augmentation(options, 3, 99), draw_augmentation(options, 3, 99));
  int same_epoch = 0, same_sample = 0, same_seed = 0;
  for (std::int64_t i = 0; i < 1000; ++i) {
    const Augmentation draw = draw_augmentation(options, 0, i);
    same_epoch += draw == draw_augmentation(options, 1, i);
    same_sample += draw == draw_augmentation(options, 0, i + 1);
    same_seed += draw == draw_augmentation({4, true, 18}, 0, i);
  }
  for (const int same : {same_epoch, same_sample, same_seed}) EXPECT_LT(same, 25);  // 6 expected
  // These may never change: a resumed run goes on with the same images.
  const Augmentation known = draw_augmentation(options, 3, 99);
  EXPECT_EQ(std::tuple(known.down, known.right, known.flip), std::tuple(4, 3, true));
}

TEST(Augmentation, DrawsAllCropsAndSidesEquallyOften) {
  std::map<std::tuple<std::int64_t, std::int64_t, bool>, int> counts;
  constexpr int kDraws = 100000;
  for (std::int64_t i = 0; i < kDraws; ++i) {
    const Augmentation draw = draw_augmentation({2, true, 5}, i % 10, i / 10);
    ++counts[{draw.down, draw.right, draw.flip}];
  }
  ASSERT_EQ(counts.size(), 50U);
  double chi_square = 0;
  for (const auto& [draw, count] : counts) {
    EXPECT_LE(std::abs(std::get<0>(draw)), 2);
    EXPECT_LE(std::abs(std::get<1>(draw)), 2);
    chi_square += std::pow(count - kDraws / 50.0, 2) / (kDraws / 50.0);
  }
  EXPECT_LT(chi_square, 85.4);  // 99.9 % at 49 degrees of freedom
}

TEST(Augmentation, DoesNothingUnasked) {
  for (std::int64_t i = 0; i < 100; ++i) EXPECT_EQ(draw_augmentation({}, 0, i), Augmentation());
  for (std::int64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(draw_augmentation({4, false, 0}, 0, i).flip, false);
    EXPECT_EQ(draw_augmentation({0, true, 0}, 0, i).down, 0);
  }
}

}  // namespace
}  // namespace thaw
