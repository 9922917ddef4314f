#include "core/step/device/device_rates.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>

namespace thaw {

DeviceRates::DeviceRates(std::size_t classes, at::Device gpu)
    : all_(at::empty({static_cast<std::int64_t>(classes)},
                     at::TensorOptions(at::kFloat).device(gpu))) {
  for (std::size_t i = 0; i < classes; ++i) {
    each_.push_back(all_.select(0, static_cast<std::int64_t>(i)));
  }
}

void DeviceRates::set(const std::vector<double>& rates) {
  TORCH_CHECK(rates.size() == each_.size(), "DeviceRates: ", rates.size(), " rates for ",
              each_.size(), " classes");
  if (rates == rates_) return;
  const c10::AutoGradMode no_grad(false);
  // Memory of its own each time: the copy before may still read the last one's.
  const at::Tensor host =
      at::empty(all_.sizes(), at::TensorOptions(at::kFloat).pinned_memory(all_.is_cuda()));
  std::transform(rates.begin(), rates.end(), host.mutable_data_ptr<float>(),
                 [](double rate) { return static_cast<float>(rate); });
  all_.copy_(host, /*non_blocking=*/true);
  rates_ = rates;
}

}  // namespace thaw
