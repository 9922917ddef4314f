#include "core/data/loading/evaluation_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "core/base/error.h"
#include "core/data/dataset.h"
#include "tests/core/data/hdf5_writer.h"

namespace thaw {
namespace {

TEST(EvaluationLoader, EverySampleOnceInOrderAtAnyNumberOfRanks) {
  const TemporaryFolder folder;
  for (const std::int64_t samples : {1, 3, 30}) {
    {
      Hdf5Writer file(folder / "a.h5");
      write_text(file, "test", samples);
    }
    const Dataset dataset({folder / "a.h5"});
    for (int ranks = 1; ranks <= 8; ++ranks) {
      for (const std::int64_t batch : {1, 7, 64}) {
        std::vector<std::vector<std::int64_t>> seen;  // of each batch
        for (int rank = 0; rank < ranks; ++rank) {
          EvaluationLoader loader(
              dataset, "test", {.batch = batch, .read_ahead = rank, .rank = rank, .ranks = ranks});
          std::size_t index = 0;
          while (const std::optional<Batch> part = loader.next()) {
            if (index == seen.size()) seen.emplace_back();
            seen[index].insert(seen[index].end(), part->samples.begin(), part->samples.end());
            ++index;
          }
          EXPECT_EQ(index, seen.size());  // as many batches on every rank
          EXPECT_FALSE(loader.next().has_value());
        }
        std::int64_t next = 0;
        for (const auto& global : seen) {
          for (const std::int64_t sample : global) EXPECT_EQ(sample, next++);
        }
        EXPECT_EQ(next, samples);
      }
    }
  }
}

TEST(EvaluationLoader, ShardsAreTheSameAtAnyNumberOfRanks) {
  const TemporaryFolder folder;
  {
    Hdf5Writer file(folder / "a.h5");
    write_text(file, "test", 19);
  }
  const Dataset dataset({folder / "a.h5"});
  using Shards = std::map<std::int64_t, std::vector<std::vector<std::int64_t>>>;
  std::vector<Shards> seen(5);
  for (int ranks = 1; ranks <= 4; ++ranks) {
    for (int rank = 0; rank < ranks; ++rank) {
      EvaluationLoader loader(
          dataset, "test",
          {.batch = 8, .read_ahead = 2, .rank = rank, .ranks = ranks, .shards = 5});
      while (const std::optional<Batch> batch = loader.next()) {
        seen[static_cast<std::size_t>(ranks)][loader.shard()].push_back(batch->samples);
      }
    }
  }
  const Shards& alone = seen[1];
  ASSERT_EQ(alone.size(), 5U);
  EXPECT_THAT(alone.at(0),
              testing::ElementsAre(testing::ElementsAre(0, 1), testing::ElementsAre(8, 9),
                                   testing::ElementsAre(16)));
  EXPECT_THAT(alone.at(4), testing::ElementsAre(testing::ElementsAre(7), testing::ElementsAre(15),
                                                testing::IsEmpty()));
  for (std::size_t ranks = 2; ranks <= 4; ++ranks) EXPECT_EQ(seen[ranks], alone) << ranks;
}

TEST(EvaluationLoader, ReadsImagesWithoutAugmentation) {
  const TemporaryFolder folder;
  {
    Hdf5Writer file(folder / "a.h5");
    write_images(file, "validation", 5, 3, 4, 4);
  }
  const Dataset dataset({folder / "a.h5"});
  EvaluationLoader loader(dataset, "validation", {});
  const Batch batch = *loader.next();
  for (std::int64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(batch.inputs[i][2][3][1].item<float>(), test_pixel(i, 2, 3, 1) / 255.0F);
  }
}

TEST(EvaluationLoader, RefusesWhatIsNotThere) {
  const TemporaryFolder folder;
  {
    Hdf5Writer file(folder / "a.h5");
    write_text(file, "train", 5);
  }
  const Dataset dataset({folder / "a.h5"});
  EXPECT_THAT(message_of<InputError>([&] { EvaluationLoader(dataset, "test", {}); }),
              testing::HasSubstr("no split \"test\" (holds: train)"));
  EXPECT_THAT(message_of<InputError>([&] { EvaluationLoader(dataset, "train", {.batch = -1}); }),
              testing::HasSubstr("data.evaluation-batch is -1"));
}

}  // namespace
}  // namespace thaw
