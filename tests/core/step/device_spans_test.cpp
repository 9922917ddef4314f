// Times of a device that works later than the host: by marks on a clock that the test moves.
#include "core/step/timing/device_spans.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>

namespace thaw {
namespace {

/// A device whose works are queued, and take as long as the test says.
class LateDevice {
 public:
  void work(double seconds) { queued_ += seconds; }
  /// The device has done all that it was given.
  void catch_up() { passed_ = queued_; }

  MakeWorkMark marks() {
    return [this] { return std::make_unique<Mark>(*this); };
  }
  bool captured = false;
  bool broken = false;  ///< to mark it throws
  int made = 0;

 private:
  class Mark final : public WorkMark {
   public:
    explicit Mark(LateDevice& device) : device_(device) { ++device.made; }
    bool set() override {
      if (device_.broken) throw std::runtime_error("the device has failed");
      at_ = device_.queued_;
      return !device_.captured;
    }
    bool passed() const override { return at_ <= device_.passed_; }
    double seconds_since(const WorkMark& earlier) const override {
      EXPECT_TRUE(passed()) << "read too early";
      return at_ - static_cast<const Mark&>(earlier).at_;
    }

   private:
    LateDevice& device_;
    double at_ = -1;
  };

  double queued_ = 0, passed_ = 0;
};

class DeviceSpansTest : public testing::Test {
 protected:
  void span(StepSpan span, double seconds) {
    const SpanTimer timer(span);
    device_.work(seconds);
  }
  /// Queues a step of two micro-batches; `reads`: the host waits for its loss before the update.
  void queue(double optimizer, bool reads = true) {
    spans_.begin_step(++step_);
    span(StepSpan::kData, 1);
    device_.work(0.5);  // between the spans
    for (const double times : {1.0, 2.0}) {
      span(StepSpan::kForward, 10 * times);
      span(StepSpan::kBackward, 20 * times);
    }
    span(StepSpan::kReduction, 4);
    if (reads) device_.catch_up();
    span(StepSpan::kUpdate, optimizer);
    spans_.end_step();
  }
  /// What is told of it at once.
  std::optional<DeviceSpans::Figures> step(double optimizer, bool reads = true) {
    queue(optimizer, reads);
    return spans_.figures(step_);
  }

  LateDevice device_;
  DeviceSpans spans_{device_.marks()};
  std::int64_t step_ = 0;
};

constexpr double kWithoutUpdate = 1 + 0.5 + 30 + 60 + 4;

TEST_F(DeviceSpansTest, TellTheDevicesTimesAndTheUpdateBefore) {
  EXPECT_FALSE(step(8)) << "no update is done yet";
  const auto second = step(16);
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->queued);
  EXPECT_DOUBLE_EQ(second->data, 1);
  EXPECT_DOUBLE_EQ(second->forward, 30);
  EXPECT_DOUBLE_EQ(second->backward, 60);
  EXPECT_DOUBLE_EQ(second->communication, 4);
  EXPECT_DOUBLE_EQ(second->optimizer, 8);
  EXPECT_DOUBLE_EQ(second->seconds, kWithoutUpdate + 8);
  EXPECT_DOUBLE_EQ(step(1)->optimizer, 16);
}

/// Its numbers are read when the next step has been queued: all of it is done, and its own update.
TEST_F(DeviceSpansTest, AStepIsToldOfWhenTheNextIsQueued) {
  queue(8, /*reads=*/false);
  device_.catch_up();
  queue(16, /*reads=*/false);
  const auto first = spans_.figures(1);
  ASSERT_TRUE(first);
  EXPECT_DOUBLE_EQ(first->optimizer, 8);
  EXPECT_DOUBLE_EQ(first->seconds, kWithoutUpdate + 8);
  EXPECT_FALSE(spans_.figures(2)) << "which the device has not come to";
  queue(1, /*reads=*/false);
  EXPECT_FALSE(spans_.figures(1)) << "long gone";
}

TEST_F(DeviceSpansTest, AStepThatTheHostHasNotWaitedForIsNotRead) {
  step(8);
  EXPECT_FALSE(step(8, /*reads=*/false));
  EXPECT_FALSE(step(9, /*reads=*/false));
  EXPECT_DOUBLE_EQ(step(7)->optimizer, 9);
}

TEST_F(DeviceSpansTest, AStepThatIsOneGraphHasNoParts) {
  step(8);
  spans_.begin_step(++step_);
  span(StepSpan::kData, 1);
  device_.work(40);
  spans_.end_step();
  EXPECT_FALSE(spans_.figures(step_)) << "it is not done";
  device_.catch_up();
  const auto told = spans_.figures(step_);
  ASSERT_TRUE(told);
  EXPECT_FALSE(told->queued);
  EXPECT_DOUBLE_EQ(told->data, 1);
  EXPECT_DOUBLE_EQ(told->seconds, 41);
}

TEST_F(DeviceSpansTest, WhatAGraphIsQueuedInIsNoPart) {
  step(8);
  spans_.begin_step(++step_);
  span(StepSpan::kGraph, 40);
  EXPECT_EQ(device_.made, 1 + 2 * 7 + 1 + 1) << "it is not marked";
  spans_.end_step();
  device_.catch_up();
  EXPECT_DOUBLE_EQ(spans_.figures(step_)->seconds, 40);
}

TEST_F(DeviceSpansTest, StepsThatAreNotBegunBelongToNone) {
  queue(8, /*reads=*/false);
  span(StepSpan::kForward, 100);
  span(StepSpan::kUpdate, 50);
  device_.catch_up();
  const auto told = spans_.figures(step_);
  ASSERT_TRUE(told);
  EXPECT_DOUBLE_EQ(told->forward, 30);
  EXPECT_DOUBLE_EQ(told->optimizer, 8);
  EXPECT_DOUBLE_EQ(told->seconds, kWithoutUpdate + 8);
}

TEST_F(DeviceSpansTest, AStepInWhichAGraphIsCapturedTellsNothing) {
  step(8);
  device_.captured = true;
  EXPECT_FALSE(step(9));
  device_.captured = false;
  EXPECT_DOUBLE_EQ(step(7)->optimizer, 8) << "of the last step that could be marked";
}

/// Spans end while an error unwinds: one more would end the process in place of a message.
TEST_F(DeviceSpansTest, ADeviceThatFailsWithinASpanCostsTheStepItsTimesAlone) {
  step(8);
  spans_.begin_step(++step_);
  span(StepSpan::kData, 1);
  try {
    const SpanTimer timer(StepSpan::kForward);
    device_.broken = true;
    throw std::logic_error("what the forward says");
  } catch (const std::logic_error&) {
    device_.broken = false;
  }
  spans_.end_step();
  device_.catch_up();
  EXPECT_FALSE(spans_.figures(step_));
  EXPECT_TRUE(step(7));
}

TEST_F(DeviceSpansTest, MarksAreUsedAgain) {
  for (int i = 0; i < 10; ++i) step(1);
  EXPECT_EQ(device_.made, 2 * (1 + 2 * 7 + 1)) << "of two steps, one of which is under way";
}

TEST(DeviceSpans, ListenWhileTheyLive) {
  LateDevice device, later;
  auto first = std::make_unique<DeviceSpans>(device.marks());
  auto second = std::make_unique<DeviceSpans>(later.marks());
  first.reset();  // and takes nothing from who listens now
  second->begin_step(1);
  { const SpanTimer timer(StepSpan::kData); }
  EXPECT_EQ(later.made, 3);
  second.reset();
  const SpanTimer timer(StepSpan::kData);
  EXPECT_EQ(device.made, 0);
}

}  // namespace
}  // namespace thaw
