#include "core/step/device/device_rates.h"

#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "core/config/configuration.h"
#include "core/step/optimizer.h"

namespace thaw {
namespace {

TEST(DeviceRates, HoldEachClassInItsPlaceAndNewOnesInTheSame) {
  DeviceRates rates(3, at::kCPU);
  rates.set({0.5, 0.25, 1e-3});
  const void* place = rates.of(1).const_data_ptr();
  EXPECT_EQ(rates.of(0).item<float>(), 0.5F);
  EXPECT_EQ(rates.of(1).item<float>(), 0.25F);
  EXPECT_EQ(rates.of(2).item<float>(), 1e-3F);
  EXPECT_EQ(rates.of(1).dim(), 0);
  rates.set({0.5, 0.125, 1e-3});
  EXPECT_EQ(rates.of(1).item<float>(), 0.125F);
  EXPECT_EQ(rates.of(1).const_data_ptr(), place);
}

TEST(DeviceRates, AreOneAClass) {
  DeviceRates rates(2, at::kCPU);
  EXPECT_THROW(rates.set({0.5}), c10::Error);
}

TEST(DeviceRates, OnTheHostNoOptimizerReadsThem) {
  class Watching final : public Optimizer {
   public:
    Watching() : Optimizer({}, /*kernel_scales=*/true) {}
    bool read_a_tensor = false;

   private:
    void update(Update& now) override { read_a_tensor = now.device_rate.has_value(); }
  };
  Watching optimizer;
  at::Tensor weight = at::full({2}, 1.0, at::kFloat).requires_grad_(true);
  optimizer.enter_stage({{0.1, 0.0, {"w"}, {weight}}}, {});
  weight.mutable_grad() = at::full({2}, 1.0, at::kFloat);
  optimizer.step(std::vector<double>{0.1}, 1.0);
  EXPECT_FALSE(optimizer.read_a_tensor);
}

}  // namespace
}  // namespace thaw
