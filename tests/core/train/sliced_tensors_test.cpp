// Tensors that a checkpoint holds in slices: what is not all there is named.
#include "core/train/sliced_tensors.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/checkpoint/reader.h"
#include "core/checkpoint/saver.h"
#include "core/parallel/one_rank.h"
#include "tests/support/temporary_folder.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;

class SlicedTensorsOfACheckpoint : public testing::Test {
 protected:
  /// A checkpoint that holds elements [first, last) of 0, 1, 2 ... for each pair, as a tensor "m".
  const CheckpointReader& checkpoint(
      const std::vector<std::pair<std::int64_t, std::int64_t>>& slices) {
    CheckpointContent content;
    content.about.place = {1, false};
    content.about.version = "test";
    content.state = "{}";
    content.configuration = "# nothing\n";
    content.replicated = {{"weights/other", at::full({3}, 1.0)}};
    for (const auto& [first, last] : slices) {
      content.own.push_back(
          {slice_name(first, last, "m"),
           at::arange(static_cast<double>(first), static_cast<double>(last), at::kFloat)});
    }
    content.own.insert(content.own.end(), more_.begin(), more_.end());
    CheckpointSaver saver(CheckpointStore(folder_ / std::to_string(count_++)), *alone_,
                          {.keep = {.newest = 1}, .asynchronous = false});
    saver.save(content);
    std::vector<RejectedCheckpoint> rejected;
    reader_ = open_newest(saver.store(), *alone_, rejected);
    return *reader_;
  }

  void expect_refused(const std::vector<std::pair<std::int64_t, std::int64_t>>& slices,
                      std::int64_t elements, const std::string& what) {
    try {
      SlicedTensors(checkpoint(slices)).check("m", elements);
      ADD_FAILURE() << "not refused: " << what;
    } catch (const InputError& error) {
      EXPECT_THAT(error.what(), HasSubstr(what));
      EXPECT_TRUE(error.agreed());
    }
  }

  TemporaryFolder folder_;
  std::unique_ptr<Communicator> alone_ = make_self_communicator();
  std::unique_ptr<CheckpointReader> reader_;
  std::vector<NamedTensor> more_;
  int count_ = 0;
};

TEST_F(SlicedTensorsOfACheckpoint, ArePutTogether) {
  const SlicedTensors slices(checkpoint({{4, 9}, {0, 4}, {9, 10}}));
  slices.check("m", 10);
  EXPECT_TRUE(slices.contains("m"));
  EXPECT_FALSE(slices.contains("n"));
  EXPECT_TRUE(slices.load("m").equal(at::arange(0.0, 10.0, at::kFloat)));
}

TEST_F(SlicedTensorsOfACheckpoint, ASliceThatIsLostIsNamed) {
  expect_refused({{4, 9}, {9, 10}}, 10, "the slice of m that holds elements 0 to 3 is missing");
  expect_refused({{0, 4}, {9, 10}}, 10, "the slice of m that holds elements 4 to 8 is missing");
  expect_refused({{0, 4}, {4, 9}}, 10, "the slice of m that holds elements 9 to 9 is missing");
  expect_refused({}, 10, "m is not in it, whole or in slices");
}

TEST_F(SlicedTensorsOfACheckpoint, SlicesThatDoNotFitAreNamed) {
  expect_refused({{0, 6}, {4, 10}}, 10, "slices of m hold elements 4 to 5 twice");
  expect_refused({{0, 4}, {4, 10}}, 8, "m has 10 elements in it, here 8");
  more_ = {{slice_name(4, 10, "m"), at::full({6}, 1.0, at::kDouble)}};
  expect_refused({{0, 4}}, 10, "slices of m are of different types");
  more_ = {{slice_name(4, 10, "m"), at::full({5}, 1.0)}};
  expect_refused({{0, 4}}, 10, "has 5 elements, not the 6 that its name says");
}

}  // namespace
}  // namespace thaw
