// The cache of the frozen prefix in whole trainings: the same bits, whatever becomes of its files.
#include "core/train/prefix/prefix_use.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// Hears of the cache too.
class CacheRecorder : public Recorder {
 public:
  using Recorder::Recorder;
  void prefix_cache(const PrefixCacheReport& report) override { reports.push_back(report); }
  std::vector<PrefixCacheReport> reports;
};

class PrefixUseTest : public testing::Test {
 protected:
  PrefixUseTest() : dataset_(prepared_dataset(write_tiny_dataset(data_, 61, 10))) {
    training_.data.batch = 8;
    training_.train.prefix_cache_folder = cache_.path();
    training_.schedule.stages = {make_stage("head", {"head"}, after_epochs(3)),
                                 make_stage("upper", {"middle", "head"}, after_epochs(2)),
                                 make_stage("all", {"stem", "middle", "head"}, after_epochs(1))};
  }

  /// The weights that come of it, in float64.
  Weights run(PrefixCacheUse use) {
    TinyModel model;
    model.to(at::kDouble);
    training_.train.prefix_cache = use;
    training_.train.precision = Precision::kFloat64;
    recorder_ = CacheRecorder();
    training_.run(model, dataset_, recorder_);
    groups_run_ = model.recorded.size();
    return weights_of(model);
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(cache_.path())) {
      if (entry.path().extension() == ".h5") files.push_back(entry.path());
    }
    return files;
  }
  std::string refusal(PrefixCacheUse use = PrefixCacheUse::kOn) {
    return message_of<Error>([&] { run(use); });
  }

  TemporaryFolder data_, cache_;
  Dataset dataset_;
  Training training_;
  CacheRecorder recorder_;
  std::size_t groups_run_ = 0;
};

/// Bits of these products do not depend on the batch, or the numbers would be equal to rounding
/// alone: which of the two it is, the report says.
void expect_equal(const Weights& found, const Weights& expected, bool same_bits) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    const double difference = (found.at(name) - tensor).abs().max().item().toDouble();
    EXPECT_LE(difference, same_bits ? 0.0 : 1e-12) << name;
  }
}

TEST_F(PrefixUseTest, OnePassServesAllStagesAndEvaluations) {
  const Weights without = run(PrefixCacheUse::kOff);
  EXPECT_TRUE(recorder_.reports.empty());
  const std::vector<double> evaluated = recorder_.evaluated();
  const std::size_t groups = groups_run_;
  const Weights with = run(PrefixCacheUse::kOn);
  // Training and validation of the first two stages; the last one has no frozen prefix.
  ASSERT_EQ(recorder_.reports.size(), 4U);
  bool same_bits = true;
  for (const PrefixCacheReport& report : recorder_.reports) {
    EXPECT_TRUE(report.used) << report.text;
    EXPECT_EQ(report.made, report.stage == "head") << report.text;
    EXPECT_EQ(report.boundary, report.stage == "head" ? "head" : "middle");
    same_bits = same_bits && report.same_bits;
  }
  expect_equal(with, without, same_bits);
  ASSERT_EQ(recorder_.evaluated().size(), evaluated.size());
  for (std::size_t i = 0; i < evaluated.size(); ++i) {
    EXPECT_NEAR(recorder_.evaluated()[i], evaluated[i], same_bits ? 0 : 1e-12);
  }
  EXPECT_LT(groups_run_, groups);
  EXPECT_EQ(files().size(), 4U);
}

TEST_F(PrefixUseTest, ASecondRunReadsWhatTheFirstHasMade) {
  const Weights first = run(PrefixCacheUse::kOn);
  training_.data.seed = 5;  // another order of the same samples
  run(PrefixCacheUse::kOn);
  for (const PrefixCacheReport& report : recorder_.reports) EXPECT_FALSE(report.made);
  training_.data.seed = 0;
  expect_same_bits(run(PrefixCacheUse::kOn), first);
}

TEST_F(PrefixUseTest, OtherWeightsBelowHaveFilesOfTheirOwn) {
  training_.schedule.stages = {make_stage("head", {"head"}, after_epochs(2)),
                               make_stage("all", {"stem", "middle", "head"}, after_epochs(1)),
                               make_stage("again", {"head"}, after_epochs(2))};
  const Weights without = run(PrefixCacheUse::kOff);
  const Weights with = run(PrefixCacheUse::kOn);
  bool same_bits = true;
  int made = 0;
  for (const PrefixCacheReport& report : recorder_.reports) {
    EXPECT_TRUE(report.used);
    made += report.made ? 1 : 0;
    same_bits = same_bits && report.same_bits;
  }
  EXPECT_EQ(made, 4) << "training and validation, before and after the prefix was trained";
  expect_equal(with, without, same_bits);
}

TEST_F(PrefixUseTest, DamagedFilesAreMendedOrMadeAnew) {
  const Weights expected = run(PrefixCacheUse::kOn);
  for (const fs::path& path : files()) {  // values lie at the end
    std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(-9, std::ios::end);
    stream.put('x');
  }
  expect_same_bits(run(PrefixCacheUse::kOn), expected);
  for (const fs::path& path : files()) fs::resize_file(path, 5000);  // another job's, cut short
  expect_same_bits(run(PrefixCacheUse::kOn), expected);
  EXPECT_TRUE(recorder_.reports.front().made);
  for (const fs::path& path : files()) fs::remove(path);
  expect_same_bits(run(PrefixCacheUse::kOn), expected);
}

TEST_F(PrefixUseTest, AutoLeavesShortRunsAlone) {
  run(PrefixCacheUse::kAuto);
  EXPECT_TRUE(recorder_.reports.empty());
  EXPECT_TRUE(files().empty());
}

TEST_F(PrefixUseTest, AutoSaysWhatItDecidedAndChangesNoBit) {
  training_.schedule.stages = {make_stage("head", {"head"}, after_epochs(14))};
  const Weights without = run(PrefixCacheUse::kOff);
  const Weights with = run(PrefixCacheUse::kAuto);
  ASSERT_FALSE(recorder_.reports.empty());
  EXPECT_FALSE(recorder_.reports.front().text.empty());
  expect_same_bits(with, without);
}

TEST_F(PrefixUseTest, OnIsRefusedWhereOutputsChange) {
  training_.data.horizontal_flip = true;
  EXPECT_THAT(refusal(), HasSubstr("data.horizontal-flip"));
  training_.data.horizontal_flip = false;
  training_.schedule.stages[1].overrides = {{"frozen-dropout", OptionValue(std::string("on"))}};
  EXPECT_THAT(refusal(), HasSubstr("stage \"upper\" dropout of frozen layers is on"));
  training_.schedule.stages = {make_stage("all", {"stem", "middle", "head"}, after_epochs(1))};
  EXPECT_THAT(refusal(), HasSubstr("every stage trains the model's first group"));
  EXPECT_TRUE(files().empty());
}

TEST_F(PrefixUseTest, AutoIsToldWhyNot) {
  training_.schedule.stages = {make_stage("head", {"head"}, after_epochs(14))};
  training_.data.horizontal_flip = true;
  run(PrefixCacheUse::kAuto);
  ASSERT_FALSE(recorder_.reports.empty());
  EXPECT_FALSE(recorder_.reports.front().used);
  EXPECT_THAT(recorder_.reports.front().text, HasSubstr("data.horizontal-flip"));
}

TEST_F(PrefixUseTest, WithoutRoomOnEndsAndAutoGoesOn) {
  training_.schedule.stages = {make_stage("head", {"head"}, after_epochs(14))};
  training_.train.prefix_cache_gib = 1e-6;
  EXPECT_THAT(refusal(), HasSubstr("train.prefix-cache-gib"));
  const std::string file = data_ / "tiny.h5";
  training_.train.prefix_cache_gib = 0;
  training_.train.prefix_cache_folder = file + "/below";  // below a file: no folder can be there
  EXPECT_THAT(refusal(), HasSubstr("train.prefix-cache-folder"));
  const Weights without = run(PrefixCacheUse::kOff);
  expect_same_bits(run(PrefixCacheUse::kAuto), without);
  ASSERT_FALSE(recorder_.reports.empty());
  EXPECT_FALSE(recorder_.reports.front().used);
}

/// Both on the disk would be more than is allowed, and training's would be made again each stage.
TEST_F(PrefixUseTest, EvaluationsDoNotTakeTheRoomOfWhatTrainingReads) {
  training_.schedule.stages = {make_stage("head", {"head"}, after_epochs(2)),
                               make_stage("again", {"head"}, after_epochs(2))};
  const Weights expected = run(PrefixCacheUse::kOn);
  ASSERT_EQ(files().size(), 2U);
  std::uintmax_t training = 0;
  for (const fs::path& path : files()) {
    if (path.filename().string().starts_with("train.")) training = fs::file_size(path);
    fs::remove(path);
  }
  ASSERT_GT(training, 0U);
  // Before it is made, a file is taken to be larger by less than this.
  training_.train.prefix_cache_gib = static_cast<double>(training + (64 << 10)) / (1 << 30);
  expect_same_bits(run(PrefixCacheUse::kOn), expected);
  ASSERT_EQ(files().size(), 1U);
  EXPECT_TRUE(files().front().filename().string().starts_with("train.")) << files().front();
  ASSERT_EQ(recorder_.reports.size(), 4U);
  for (const PrefixCacheReport& report : recorder_.reports) {
    const bool trains = report.split == "train";
    EXPECT_EQ(report.used, trains) << report.text;
    EXPECT_EQ(report.made, trains && report.stage == "head") << report.text;
    if (!trains) {
      EXPECT_THAT(report.text, HasSubstr("train.prefix-cache-gib"));
    }
  }
}

TEST(ForwardSizes, AreAllThatImagesHaveAndSomeOfTexts) {
  const auto sizes = [](std::int64_t pieces, std::int64_t micro, bool text) {
    return forward_sizes(
        {.samples = 37, .batch = 16, .pieces = pieces, .micro_batch = micro, .text = text});
  };
  using Sizes = std::vector<std::int64_t>;
  EXPECT_EQ(sizes(1, 0, false), (Sizes{5, 16}));
  EXPECT_EQ(sizes(3, 0, false), (Sizes{1, 2, 5, 6}));
  EXPECT_EQ(sizes(1, 6, false), (Sizes{5, 6})) << "16 as 6, 5, 5";
  EXPECT_EQ(sizes(1, 0, true), (Sizes{1, 2, 3, 5, 16}));
}

}  // namespace
}  // namespace thaw
