#include "core/train/capture_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

using testing::HasSubstr;

CaptureFacts good() {
  return {.on_gpu = true,
          .judged_there = true,
          .model_repeats = true,
          .task_repeats = true,
          .whole_batches = true};
}

TEST(Capture, NothingIsInItsWayWhereAllIsRight) { EXPECT_EQ(obstacle_to_capture(good()), ""); }

TEST(Capture, EachObstacleIsNamed) {
  const auto with = [](auto change) {
    CaptureFacts facts = good();
    change(facts);
    return obstacle_to_capture(facts);
  };
  EXPECT_THAT(with([](CaptureFacts& f) { f.on_gpu = false; }), HasSubstr("CPU"));
  EXPECT_THAT(with([](CaptureFacts& f) { f.shares_state = true; }), HasSubstr("sharding"));
  EXPECT_THAT(with([](CaptureFacts& f) { f.judged_there = false; }), HasSubstr("not-finite"));
  EXPECT_THAT(with([](CaptureFacts& f) { f.model_repeats = false; }), HasSubstr("model"));
  EXPECT_THAT(with([](CaptureFacts& f) { f.task_repeats = false; }), HasSubstr("loss"));
  EXPECT_THAT(with([](CaptureFacts& f) { f.whole_batches = false; }), HasSubstr("micro-batches"));
  EXPECT_THAT(with([](CaptureFacts& f) { f.recomputes = true; }), HasSubstr("again"));
  EXPECT_THAT(with([](CaptureFacts& f) { f.reads_files = true; }), HasSubstr("files"));
  EXPECT_THAT(with([](CaptureFacts& f) { f.own_draws = true; }), HasSubstr("generator"));
  EXPECT_THAT(with([](CaptureFacts& f) { f.host_decides = true; }), HasSubstr("trigger"));
  EXPECT_THAT(with([](CaptureFacts& f) { f.reduction_repeats = false; }), HasSubstr("host"));
}

TEST(Capture, ARunOnTheCpuThatMustHaveGraphsIsRefused) {
  TemporaryFolder folder;
  const Dataset dataset = prepared_dataset(write_tiny_dataset(folder, 37, 10));
  Training training;
  training.schedule = {{make_stage("top", {"head"}, after_epochs(1), 0.05)}};
  Recorder recorder;
  for (const CudaGraphs graphs : {CudaGraphs::kOff, CudaGraphs::kAuto}) {
    training.train.cuda_graphs = graphs;
    TinyModel model;
    training.run(model, dataset, recorder);
  }
  training.train.cuda_graphs = CudaGraphs::kOn;
  TinyModel model;
  EXPECT_THROW(training.run(model, dataset, recorder), InputError);
}

}  // namespace
}  // namespace thaw
