// Saving and reading back, by several ranks as threads of this process.
#include "core/checkpoint/saver.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <thread>

#include "core/base/error.h"
#include "core/checkpoint/durable_file.h"
#include "core/checkpoint/reader.h"
#include "core/parallel/one_rank.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/support/temporary_folder.h"

namespace thaw {
namespace {
namespace fs = std::filesystem;

/// What a rank holds after a step: names, types and sizes of all kinds.
std::vector<NamedTensor> tensors_after(std::int64_t step) {
  const auto base = static_cast<double>(step);
  return {{"weights/a", at::arange(base, base + 1000).view({10, 100}).t()},  // not contiguous
          {"weights/b", at::full({7}, base, at::kDouble)},
          {"optimizer/step/a", at::full({}, base)},
          {"weights/empty", at::zeros({0, 3})},
          {"buffers/count", at::full({}, step, at::kLong)}};
}

CheckpointContent content(std::int64_t step, int rank, bool transition = false) {
  CheckpointContent result;
  result.about.place = {step, transition};
  result.about.stage = "head";
  result.about.version = "test";
  result.state = fmt::format("{{\"step\": {}}}", step);
  result.configuration = "# nothing\n";
  result.replicated = tensors_after(step);
  result.own = {{fmt::format("rank-{}/random", rank), at::full({3}, rank * 10 + 1, at::kByte)}};
  return result;
}

class SaverTest : public testing::Test {
 protected:
  SaverTest() : store_(fs::path(folder_ / "checkpoints")) {}

  void save(int ranks, const std::vector<std::int64_t>& steps, bool asynchronous = true) {
    run_ranks(ranks, [&](Communicator& communicator) {
      CheckpointSaver saver(store_, communicator,
                            {.keep = {.newest = 3}, .asynchronous = asynchronous});
      for (const std::int64_t step : steps) {
        saver.save(content(step, communicator.rank()));
        EXPECT_EQ(saver.under_way(), asynchronous);
      }
      saver.finish();
      for (const SaveReport& report : saver.take_reports()) EXPECT_EQ(report.problem, "");
    });
  }

  /// Whether the newest good one is that of `step`, complete; and what was passed over.
  void expect_newest(std::int64_t step, std::size_t passed_over, int ranks = 1) {
    run_ranks(ranks, [&](Communicator& communicator) {
      std::vector<RejectedCheckpoint> rejected;
      const auto reader = open_newest(store_, communicator, rejected);
      EXPECT_EQ(rejected.size(), passed_over);
      for (const RejectedCheckpoint& each : rejected) EXPECT_GT(each.place.step, step);
      ASSERT_TRUE(reader);
      EXPECT_EQ(reader->manifest().place.step, step);
      EXPECT_EQ(reader->state(), fmt::format("{{\"step\": {}}}", step));
      const std::vector<NamedTensor> expected = tensors_after(step);
      std::vector<NamedTensor> loaded;
      for (const NamedTensor& each : expected) {
        loaded.push_back({each.name, at::zeros_like(each.tensor)});
      }
      reader->load(loaded);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_TRUE(at::equal(loaded[i].tensor, expected[i].tensor)) << expected[i].name;
      }
    });
  }

  TemporaryFolder folder_;
  CheckpointStore store_;
};

TEST_F(SaverTest, ReadsBackWhatWasSavedAtAnyNumberOfRanks) {
  for (const int writers : {1, 2, 3}) {
    save(writers, {10 * writers});
    for (const int readers : {1, 2, 4}) expect_newest(10 * writers, 0, readers);
  }
}

TEST_F(SaverTest, EachRanksOwnTensorsAreThereUnderTheirNames) {
  save(3, {5}, /*asynchronous=*/false);
  run_ranks(2, [&](Communicator& communicator) {
    const CheckpointReader reader(store_.path_of({5, false}), communicator);
    for (const int rank : {0, 1, 2}) {
      EXPECT_TRUE(at::equal(reader.load(fmt::format("rank-{}/random", rank)),
                            at::full({3}, rank * 10 + 1, at::kByte)));
    }
  });
}

TEST_F(SaverTest, TheCopyIsWhatStoodThereWhenItWasTaken) {
  const auto alone = make_self_communicator();
  CheckpointSaver saver(store_, *alone, {});
  CheckpointContent changing = content(1, 0);
  saver.save(changing);
  for (NamedTensor& each : changing.replicated) each.tensor.zero_();
  saver.finish();
  expect_newest(1, 0);
}

TEST_F(SaverTest, WhoWaitsForCopiesGoesOnWhereTheyFailToo) {
  const auto alone = make_self_communicator();
  bool fails = true;
  CheckpointSaver saver(store_, *alone, {.may_write = [&] {
                          if (fails) throw std::runtime_error("not any longer");
                        }});
  saver.wait_for_copies();  // there are none
  saver.save(content(1, 0));
  saver.wait_for_copies();
  saver.finish();
  EXPECT_NE(saver.take_reports().at(0).problem, "");
  fails = false;
  saver.save(content(2, 0));
  saver.wait_for_copies();
  saver.finish();
  expect_newest(2, 0);
}

TEST_F(SaverTest, OldOnesGoAndTransitionsStay) {
  const auto alone = make_self_communicator();
  CheckpointSaver saver(store_, *alone, {.keep = {.newest = 2}});
  for (const std::int64_t step : {1, 2, 3, 4, 5}) {
    saver.save(content(step, 0, /*transition=*/step == 2));
  }
  saver.finish();
  EXPECT_EQ(store_.places(), (std::vector<CheckpointPlace>{{2, true}, {4, false}, {5, false}}));
}

TEST_F(SaverTest, AnyDamageToAnyFileIsFoundAndTheOlderOneUsed) {
  save(2, {1, 2});
  const fs::path newest = store_.path_of({2, false});
  const fs::path kept = fs::path(folder_ / "kept");
  fs::copy(newest, kept, fs::copy_options::recursive);
  std::mt19937 random(1);
  int trials = 0;
  for (const auto& file : fs::directory_iterator(kept)) {
    const fs::path target = newest / file.path().filename();
    const auto size = fs::file_size(file.path());
    const auto damaged = [&](const std::function<void()>& damage) {
      damage();
      expect_newest(1, 1, 1 + trials++ % 2);
      fs::remove_all(target);
      fs::copy(file.path(), target);
    };
    for (int i = 0; i < 20; ++i) {
      damaged([&] {
        std::fstream stream(target, std::ios::in | std::ios::out | std::ios::binary);
        const auto at = static_cast<std::streamoff>(random() % size);
        stream.seekg(at);
        const char before = static_cast<char>(stream.get());
        stream.seekp(at);
        stream.put(static_cast<char>(before ^ (1 + random() % 255)));
      });
    }
    damaged([&] { fs::resize_file(target, random() % size); });
    damaged([&] { fs::resize_file(target, size + 1); });
    damaged([&] { fs::remove(target); });
    damaged([&] {
      fs::remove(target);
      fs::create_directory(target);
    });
  }
  expect_newest(2, 0, 2);
  EXPECT_EQ(trials, 5 * 24);
}

TEST_F(SaverTest, HalfAFolderIsNeverRead) {
  save(1, {1});
  fs::copy(store_.path_of({1, false}), store_.partial_path_of({2, false}),
           fs::copy_options::recursive);
  fs::create_directory(store_.path() / "step-000000003.removing");
  expect_newest(1, 0);
  store_.clear_leftovers();
  EXPECT_EQ(std::distance(fs::directory_iterator(store_.path()), fs::directory_iterator()), 1);
}

TEST_F(SaverTest, ACheckpointUnderAnothersNameIsRefused) {
  save(1, {1});
  fs::rename(store_.path_of({1, false}), store_.path_of({9, false}));
  const auto alone = make_self_communicator();
  EXPECT_THROW(CheckpointReader(store_.path_of({9, false}), *alone), InputError);
}

TEST_F(SaverTest, AnotherModelIsNamedBeforeAnythingIsTouched) {
  save(1, {4});
  const auto alone = make_self_communicator();
  const CheckpointReader reader(store_.path_of({4, false}), *alone);
  const at::Tensor first = at::zeros({7}, at::kDouble);
  const std::vector<NamedTensor> wanted = {{"weights/b", first},
                                           {"weights/a", at::zeros({100, 11})},
                                           {"optimizer/step/a", at::zeros({}, at::kDouble)},
                                           {"weights/c", at::zeros({1})}};
  try {
    reader.load(wanted);
    FAIL() << "no error";
  } catch (const InputError& error) {
    const std::string message = error.what();
    for (const char* part : {"weights/a has shape [100, 10] in it, here [100, 11]",
                             "optimizer/step/a is F32 in it, here F64", "weights/c is not in it"}) {
      EXPECT_NE(message.find(part), std::string::npos) << message;
    }
  }
  EXPECT_TRUE(at::equal(first, at::zeros({7}, at::kDouble)));
}

TEST_F(SaverTest, WhereARankCannotWriteAllHearOfItAndTheNextOneIsTried) {
  run_ranks(2, [&](Communicator& communicator) {
    CheckpointSaver saver(store_, communicator, {});
    saver.save(content(1, communicator.rank()));
    saver.finish();
    // A folder where rank 1's file is to be.
    const fs::path obstacle = store_.partial_path_of({2, false}) / shard_file(1, 2);
    if (communicator.rank() == 1) fs::create_directories(obstacle);
    communicator.barrier();
    saver.save(content(2, communicator.rank()));
    saver.finish();
    saver.save(content(3, communicator.rank()));
    saver.finish();
    const std::vector<SaveReport> reports = saver.take_reports();
    ASSERT_EQ(reports.size(), 3U);
    EXPECT_EQ(reports[0].problem, "");
    EXPECT_NE(reports[1].problem.find("rank 1: "), std::string::npos) << reports[1].problem;
    EXPECT_NE(reports[1].problem.find(shard_file(1, 2)), std::string::npos);
    EXPECT_EQ(reports[2].problem, "");
  });
  EXPECT_EQ(store_.places(), (std::vector<CheckpointPlace>{{1, false}, {3, false}}));
  EXPECT_FALSE(fs::exists(store_.partial_path_of({2, false})));
}

TEST_F(SaverTest, AShardThatWentOrWasCutBeforeTheCommitMakesNoCheckpoint) {
  for (const bool whole : {true, false}) {
    run_ranks(2, [&](Communicator& communicator) {
      CheckpointSaver saver(store_, communicator, {});
      saver.save(content(1, communicator.rank()));
      saver.finish();
      saver.save(content(2, communicator.rank()));
      while (!saver.ready()) std::this_thread::yield();
      communicator.barrier();  // both are written, and not complete
      const fs::path shard = store_.partial_path_of({2, false}) / shard_file(1, 2);
      if (communicator.rank() == 0 && whole) fs::remove(shard);
      if (communicator.rank() == 0 && !whole) fs::resize_file(shard, fs::file_size(shard) - 1);
      communicator.barrier();
      saver.finish();
      const std::vector<SaveReport> reports = saver.take_reports();
      ASSERT_EQ(reports.size(), 2U);
      EXPECT_EQ(reports[0].problem, "");
      EXPECT_NE(reports[1].problem.find(shard_file(1, 2)), std::string::npos) << reports[1].problem;
    });
    EXPECT_EQ(store_.places(), (std::vector<CheckpointPlace>{{1, false}}));
    EXPECT_FALSE(fs::exists(store_.partial_path_of({2, false})));
    expect_newest(1, 0, 2);
  }
}

}  // namespace
}  // namespace thaw
