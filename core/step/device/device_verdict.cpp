#include "core/step/device/device_verdict.h"

#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <vector>

#include "core/parallel/communicator.h"

namespace thaw {

struct ArrivingNumbers::Event {
  explicit Event(at::Device device) : done(device.type()) {
    done.record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
  }
  c10::Event done;
};

ArrivingNumbers::ArrivingNumbers(const at::Tensor& numbers)
    : host_(at::empty(numbers.sizes(),
                      at::TensorOptions(numbers.scalar_type()).pinned_memory(numbers.is_cuda()))) {
  host_.copy_(numbers, /*non_blocking=*/true);
  if (numbers.is_cuda()) sent_ = std::make_unique<Event>(numbers.device());
}

ArrivingNumbers::~ArrivingNumbers() = default;

bool ArrivingNumbers::are_there() const { return sent_ == nullptr || sent_->done.query(); }

ArrivingNumbers::Values ArrivingNumbers::wait() const {
  if (sent_ != nullptr) sent_->done.synchronize();
  const auto* values = host_.const_data_ptr<float>();
  return {.loss_sum = static_cast<double>(values[0]),
          .gradient_norm = static_cast<double>(values[1]),
          .finite = values[2] == 0};
}

DeviceVerdict::DeviceVerdict(at::Device device)
    : numbers_(at::zeros({3}, at::TensorOptions(at::kFloat).device(device))),
      loss_(numbers_.select(0, 0)),
      norm_(numbers_.select(0, 1)),
      not_finite_(numbers_.select(0, 2)),
      one_(at::ones({}, numbers_.options())) {}

void DeviceVerdict::judge(const at::Tensor& loss_sum, const at::Tensor& norm,
                          Communicator& communicator) {
  const c10::AutoGradMode no_grad(false);
  loss_sum.defined() ? loss_.copy_(loss_sum) : loss_.zero_();
  if (communicator.size() > 1) communicator.start_all_reduce(loss_)->wait_on_stream();
  std::vector<at::Tensor> asked = {loss_};
  if (norm.defined()) asked.push_back(norm_.copy_(norm));
  // Sets the mark where one of them is not finite, and never takes it back.
  at::_amp_foreach_non_finite_check_and_unscale_(asked, not_finite_, one_);
}

std::unique_ptr<ArrivingNumbers> DeviceVerdict::send() const {
  return std::make_unique<ArrivingNumbers>(numbers_);
}

}  // namespace thaw
