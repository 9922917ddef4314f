#include "core/data/loading/training_loader.h"

#include <ATen/ops/clone.h>
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/data/dataset.h"
#include "core/data/loading/augmentation.h"
#include "core/data/order/sample_order.h"
#include "tests/core/data/hdf5_writer.h"

namespace thaw {
namespace {

using testing::HasSubstr;

class TrainingLoaderTest : public testing::Test {
 protected:
  Dataset texts(std::int64_t samples) {
    {
      Hdf5Writer file(folder_ / "text.h5");
      write_text(file, "train", samples);
    }
    return Dataset({folder_ / "text.h5"});
  }
  Dataset images(std::int64_t samples) {
    {
      Hdf5Writer file(folder_ / "images.h5");
      write_images(file, "train", samples, 3, 6, 5);
      file.numbers("mean", {0.1, 0.2, 0.3}).numbers("std", {0.4, 0.5, 0.6});
    }
    return Dataset({folder_ / "images.h5"});
  }
  TemporaryFolder folder_;
};

void expect_texts(const Batch& batch) {
  ASSERT_EQ(batch.offsets.numel(), batch.size() + 1);
  ASSERT_EQ(batch.labels.numel(), batch.size());
  const auto* offsets = batch.offsets.const_data_ptr<std::int64_t>();
  const auto* tokens = batch.inputs.const_data_ptr<std::int64_t>();
  ASSERT_EQ(offsets[0], 0);
  ASSERT_EQ(offsets[batch.size()], batch.inputs.numel());
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    const std::vector<std::int32_t> expected = test_tokens(batch.samples[i]);
    ASSERT_EQ(std::vector<std::int32_t>(tokens + offsets[i], tokens + offsets[i + 1]), expected);
    ASSERT_EQ(batch.labels.const_data_ptr<std::int64_t>()[i], batch.samples[i] % 3);
  }
}

/// All samples that `ranks` loaders draw from cursor 0 for `epochs` epochs, [epoch][sample] counts.
std::vector<std::map<std::int64_t, int>> drawn(const Dataset& dataset, std::int64_t batch,
                                               int ranks, std::int64_t epochs) {
  std::vector<std::map<std::int64_t, int>> counts(epochs);
  const std::int64_t samples = dataset.split("train").size();
  for (int rank = 0; rank < ranks; ++rank) {
    TrainingLoader loader(
        dataset, {.batch = batch, .seed = 5, .read_ahead = 2, .rank = rank, .ranks = ranks});
    for (std::int64_t cursor = 0; cursor < epochs * samples;) {
      const TrainingBatch next = loader.next();
      EXPECT_EQ(next.global, next_global_batch(cursor, samples, batch));
      EXPECT_EQ(next.batch.epoch, next.global.epoch);
      cursor += next.global.size();
      expect_texts(next.batch);
      for (const std::int64_t sample : next.batch.samples) ++counts[next.global.epoch][sample];
    }
  }
  return counts;
}

TEST_F(TrainingLoaderTest, EverySampleOnceAnEpochAtAnyNumberOfRanks) {
  for (const std::int64_t samples : {3, 37}) {
    const Dataset dataset = texts(samples);
    for (int ranks = 1; ranks <= 8; ++ranks) {
      for (const std::int64_t batch : {1, 5, 8, 100}) {
        for (const auto& epoch : drawn(dataset, batch, ranks, 2)) {
          ASSERT_EQ(static_cast<std::int64_t>(epoch.size()), samples);
          for (const auto& [sample, count] : epoch) ASSERT_EQ(count, 1) << sample;
        }
      }
    }
  }
}

TEST_F(TrainingLoaderTest, RanksTogetherHoldWhatOneRankHolds) {
  const Dataset dataset = texts(23);
  for (const std::int64_t shards : {0, 5}) {
    TrainingLoader alone(dataset, {.batch = 7});
    std::vector<std::unique_ptr<TrainingLoader>> loaders;
    loaders.reserve(3);
    for (int rank = 0; rank < 3; ++rank) {
      loaders.push_back(std::make_unique<TrainingLoader>(
          dataset, TrainingLoaderOptions{.batch = 7, .rank = rank, .ranks = 3, .shards = shards}));
    }
    for (int step = 0; step < 20; ++step) {
      const TrainingBatch whole = alone.next();
      std::vector<std::int64_t> samples;
      for (auto& loader : loaders) {
        const TrainingBatch part = loader->next();
        EXPECT_EQ(part.global, whole.global);
        samples.insert(samples.end(), part.batch.samples.begin(), part.batch.samples.end());
      }
      EXPECT_EQ(samples, whole.batch.samples);
    }
  }
}

TEST_F(TrainingLoaderTest, RanksHoldWholeShards) {
  const Dataset dataset = texts(8);
  for (int rank = 0; rank < 3; ++rank) {  // shards of 2, 2, 2, 1, 1 samples; ranks of 2, 2, 1
    TrainingLoader loader(dataset, {.batch = 8, .rank = rank, .ranks = 3, .shards = 5});
    EXPECT_EQ(loader.next().batch.size(), std::vector<std::int64_t>({4, 3, 1})[rank]);
  }
}

TEST_F(TrainingLoaderTest, ResumesAnywhereWithOtherRanksAndBatches) {
  const Dataset dataset = texts(29);
  for (std::int64_t stop = 0; stop <= 60; ++stop) {
    // Up to `stop` samples with batches of 1, so that every cursor occurs; then others go on.
    const std::int64_t epoch = stop / 29;
    std::map<std::int64_t, int> counts;
    const auto order = epoch_order(dataset.split("train"), 0, epoch);
    for (std::int64_t i = 0; i < stop % 29; ++i) ++counts[order->sample(i)];
    for (int rank = 0; rank < 3; ++rank) {
      TrainingLoader loader(dataset, {.batch = 6, .read_ahead = 1, .rank = rank, .ranks = 3}, stop);
      for (std::int64_t cursor = stop; cursor < (epoch + 1) * 29;) {
        const TrainingBatch next = loader.next();
        cursor += next.global.size();
        for (const std::int64_t sample : next.batch.samples) ++counts[sample];
      }
    }
    ASSERT_EQ(counts.size(), 29U);
    for (const auto& [sample, count] : counts) ASSERT_EQ(count, 1);
  }
}

TEST_F(TrainingLoaderTest, SeeksToACursor) {
  const Dataset dataset = texts(29);
  TrainingLoader loader(dataset, {.batch = 6});
  TrainingLoader other(dataset, {.batch = 6}, 35);
  for (int i = 0; i < 3; ++i) loader.next();
  loader.seek(35);
  for (int i = 0; i < 10; ++i) {
    const TrainingBatch a = loader.next();
    const TrainingBatch b = other.next();
    EXPECT_EQ(a.global, b.global);
    EXPECT_EQ(a.batch.samples, b.batch.samples);
    EXPECT_TRUE(at::equal(a.batch.inputs, b.batch.inputs));
  }
}

TEST_F(TrainingLoaderTest, AnEmptyShareHasTensorsOfItsKind) {
  const Dataset dataset = texts(2);
  TrainingLoader loader(dataset, {.batch = 8, .rank = 3, .ranks = 4});
  const Batch text = loader.next().batch;
  EXPECT_EQ(text.size(), 0);
  EXPECT_EQ(text.inputs.numel(), 0);
  EXPECT_EQ(text.offsets.numel(), 1);
  EXPECT_EQ(text.labels.scalar_type(), at::kLong);
  const Dataset pictures = images(2);
  TrainingLoader other(pictures, {.batch = 8, .rank = 3, .ranks = 4});
  const Batch image = other.next().batch;
  EXPECT_EQ(image.inputs.sizes().vec(), (std::vector<std::int64_t>{0, 3, 6, 5}));
  EXPECT_EQ(image.slice(0, 0).size(), 0);
}

TEST_F(TrainingLoaderTest, ImagesAreNormalisedAugmentedAndChannelsLast) {
  const Dataset dataset = images(40);
  const std::vector<float> mean = {0.1F, 0.2F, 0.3F};
  const std::vector<float> deviation = {0.4F, 0.5F, 0.6F};
  TrainingLoader loader(
      dataset, {.batch = 16, .seed = 3, .crop_padding = 2, .horizontal_flip = true}, 40 * 7);
  for (int step = 0; step < 3; ++step) {
    const Batch batch = loader.next().batch;
    ASSERT_TRUE(batch.inputs.is_contiguous(at::MemoryFormat::ChannelsLast));
    ASSERT_EQ(batch.inputs.scalar_type(), at::kFloat);
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      const Augmentation how = draw_augmentation({2, true, 3}, 7, batch.samples[i]);
      for (std::int64_t c = 0; c < 3; ++c)
        for (std::int64_t y = 0; y < 6; ++y)
          for (std::int64_t x = 0; x < 5; ++x) {
            const std::int64_t row = y + how.down;
            const std::int64_t column = (how.flip ? 4 - x : x) + how.right;
            const bool inside = row >= 0 && row < 6 && column >= 0 && column < 5;
            const float pixel = inside ? test_pixel(batch.samples[i], c, row, column) : 0.0F;
            ASSERT_EQ(batch.inputs[i][c][y][x].item<float>(),
                      (pixel / 255.0F - mean[c]) / deviation[c]);
          }
    }
  }
}

TEST_F(TrainingLoaderTest, ImagesThatAreKeptAreNotOverwritten) {
  const Dataset dataset = images(64);
  TrainingLoader loader(dataset, {.batch = 4, .read_ahead = 2});
  std::vector<Batch> kept;       // whole batches
  std::vector<at::Tensor> view;  // one image of each of the others
  std::vector<at::Tensor> copies;
  std::set<const void*> places;
  for (int i = 0; i < 64; ++i) {
    Batch batch = loader.next().batch;
    places.insert(batch.inputs.const_data_ptr());
    copies.push_back(i % 2 == 0 ? batch.inputs.clone() : batch.inputs[1].clone());
    if (i >= 8) continue;
    if (i % 2 == 1) {
      view.push_back(batch.slice(1, 2).inputs);
    } else {
      kept.push_back(std::move(batch));
    }
  }
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(at::equal(kept[i].inputs, copies[2 * i]));
    EXPECT_TRUE(at::equal(view[i][0], copies[2 * i + 1]));
  }
  EXPECT_LE(places.size(), 8U + 2 + 2);  // and those that are dropped are used again
}

TEST_F(TrainingLoaderTest, RefusesWhatDoesNotFit) {
  const Dataset dataset = texts(5);
  const auto refusal = [&](const Dataset& data, const TrainingLoaderOptions& options) {
    return message_of<InputError>([&] { TrainingLoader(data, options); });
  };
  EXPECT_THAT(refusal(dataset, {.crop_padding = 4}), HasSubstr("this data is text"));
  EXPECT_THAT(refusal(dataset, {.horizontal_flip = true}), HasSubstr("this data is text"));
  EXPECT_THAT(refusal(dataset, {.batch = 0}), HasSubstr("data.batch is 0, must be at least 1"));
  EXPECT_THAT(refusal(dataset, {.read_ahead = -1}), HasSubstr("data.read-ahead is -1"));
  const Dataset pictures = images(5);
  EXPECT_THAT(refusal(pictures, {.crop_padding = 5}), HasSubstr("must be from 0 to less than"));
  {
    Hdf5Writer file(folder_ / "test.h5");
    write_text(file, "test", 5);
  }
  EXPECT_THAT(refusal(Dataset({folder_ / "test.h5"}), {}), HasSubstr("no split \"train\""));
}

TEST_F(TrainingLoaderTest, ErrorsOfTheThreadComeOutOfNext) {
  {
    Hdf5Writer file(folder_ / "big.h5");
    write_images(file, "train", 500, 3, 32, 32);
  }
  const Dataset dataset({folder_ / "big.h5"});
  std::filesystem::resize_file(folder_ / "big.h5", 5000);
  for (const std::int64_t read_ahead : {0, 3}) {
    TrainingLoader loader(dataset, {.batch = 100, .read_ahead = read_ahead});
    EXPECT_THAT(message_of<RunError>([&] {
                  for (int i = 0; i < 5; ++i) loader.next();
                }),
                HasSubstr("cut short while in use"));
  }
}

TEST_F(TrainingLoaderTest, NegativeTokensAreFoundWhileReading) {
  {
    Hdf5Writer file(folder_ / "bad.h5");
    file.write("/train/tokens", {3}, std::vector<std::int32_t>{1, -2, 3});
    file.write("/train/offsets", {4}, std::vector<std::int64_t>{0, 1, 2, 3});
    file.write("/train/labels", {3}, std::vector<std::int64_t>{0, 0, 0});
  }
  const Dataset dataset({folder_ / "bad.h5"});
  TrainingLoader loader(dataset, {.batch = 3});
  EXPECT_THAT(message_of<RunError>([&] { loader.next(); }),
              HasSubstr("a negative token in samples"));
}

TEST_F(TrainingLoaderTest, IsDestroyedAtAnyTime) {
  const Dataset dataset = texts(50);
  for (int i = 0; i < 100; ++i) {
    TrainingLoader loader(dataset, {.batch = 7, .read_ahead = 1 + i % 4});
    for (int k = 0; k < i % 3; ++k) EXPECT_EQ(loader.next().batch.size(), 7);
  }
}

}  // namespace
}  // namespace thaw
