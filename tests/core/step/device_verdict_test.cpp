#include "core/step/device/device_verdict.h"

#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/parallel/communicator.h"
#include "core/parallel/one_rank.h"

namespace thaw {
namespace {

class DeviceVerdictTest : public testing::Test {
 protected:
  ArrivingNumbers::Values judged(float loss, const at::Tensor& norm = {}) {
    const at::Tensor sum = at::full({}, loss);
    verdict_.judge(sum, norm, *alone_);
    return verdict_.send()->wait();
  }

  std::unique_ptr<Communicator> alone_ = make_self_communicator();
  DeviceVerdict verdict_{at::kCPU};
};

TEST_F(DeviceVerdictTest, FiniteNumbersArriveAsTheyWere) {
  const auto values = judged(3.5F, at::full({}, 0.25));
  EXPECT_EQ(values.loss_sum, 3.5);
  EXPECT_EQ(values.gradient_norm, 0.25);
  EXPECT_TRUE(values.finite);
  EXPECT_EQ(verdict_.not_finite().item<float>(), 0);
}

TEST_F(DeviceVerdictTest, WhatWasSentStaysAsItWas) {
  const at::Tensor first = at::full({}, 1.0F), second = at::full({}, 2.0F);
  verdict_.judge(first, {}, *alone_);
  const auto sent = verdict_.send();
  verdict_.judge(second, {}, *alone_);
  EXPECT_TRUE(sent->are_there());
  EXPECT_EQ(sent->wait().loss_sum, 1);
  EXPECT_EQ(verdict_.send()->wait().loss_sum, 2);
}

TEST_F(DeviceVerdictTest, NoStepCountsAfterOneThatWasNotFinite) {
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    DeviceVerdict verdict(at::kCPU);
    const at::Tensor loss = at::full({}, bad);
    verdict.judge(loss, {}, *alone_);
    EXPECT_EQ(verdict.not_finite().item<float>(), 1) << bad;
  }
  judged(NAN);
  const auto after = judged(1.0F);
  EXPECT_EQ(after.loss_sum, 1);
  EXPECT_FALSE(after.finite);
  EXPECT_EQ(verdict_.not_finite().item<float>(), 1);
}

TEST_F(DeviceVerdictTest, ANormThatIsNotFiniteCountsBesideALossThatIs) {
  verdict_.judge(at::zeros({}), at::full({}, 2.0), *alone_);
  EXPECT_EQ(verdict_.not_finite().item<float>(), 0);
  verdict_.judge(at::zeros({}), at::full({}, NAN), *alone_);
  EXPECT_EQ(verdict_.not_finite().item<float>(), 1);
  const auto values = judged(1.0F);
  EXPECT_FALSE(values.finite);
}

TEST_F(DeviceVerdictTest, ARankThatRanNothingAddsNothing) {
  judged(5.0F);
  const at::Tensor nothing;
  verdict_.judge(nothing, {}, *alone_);
  EXPECT_EQ(verdict_.send()->wait().loss_sum, 0);
}

}  // namespace
}  // namespace thaw
