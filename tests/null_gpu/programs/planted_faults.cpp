// A step of training through LibTorch, with the fault that its argument names, for
// planted_faults_test.py: what the null GPU says of it, that says of the command's steps too.

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <string>

#include "core/step/device/recorded_work_cuda.h"

namespace {

const at::Device kGpu(at::kCUDA, 0);

struct Step {
  at::Tensor batch = at::ones({32, 64}, at::TensorOptions().pinned_memory(true));
  at::Tensor weight = at::ones({64, 64}, kGpu).set_requires_grad(true);

  at::Tensor uploaded() const { return batch.to(kGpu, /*non_blocking=*/true); }
  void run(const at::Tensor& input) { at::linear(input, weight).sum().backward(); }
};

void of_nothing(Step& step) { step.run(step.uploaded()); }

void host_reads_device_memory(Step& step) {
  of_nothing(step);
  std::printf("%f\n", *static_cast<const float*>(step.weight.grad().const_data_ptr()));
}

/// Another stream writes the gradient, and waits for nothing.
void missing_event(Step& step) {
  of_nothing(step);
  const c10::impl::VirtualGuardImpl gpu(at::kCUDA);
  const at::Tensor gradient = step.weight.grad();
  const c10::Stream before = gpu.exchangeStream(gpu.getStreamFromGlobalPool(kGpu));
  gradient.copy_(step.weight.detach());
  gpu.exchangeStream(before);
}

void blocking_upload(Step& step) {
  step.run(step.batch.clone().to(kGpu));  // pageable
}

void a_synchronization_too_many(Step& step) {
  of_nothing(step);
  c10::impl::VirtualGuardImpl(at::kCUDA).synchronizeDevice(0);
}

/// A step that is recorded in a graph, and `within` it something more.
void recorded(Step& step, const std::function<void()>& within) {
  const at::Tensor input = step.uploaded();
  try {
    thaw::record_work(kGpu, nullptr, [&] {
      step.run(input);
      within();
    })->replay();
    std::printf("it was recorded\n");
  } catch (const std::exception&) {
    std::printf("it could not be recorded\n");
  }
}

void a_recorded_step(Step& step) {
  recorded(step, [] {});
}

/// Of what was queued before: it has nothing to do with what is recorded, which nobody can know.
void a_question_while_recording(Step& step) {
  const c10::impl::VirtualGuardImpl gpu(at::kCUDA);
  c10::Event before(at::kCUDA);
  before.record(gpu.getStream(kGpu));
  recorded(step, [&] { before.query(); });
}

const std::map<std::string, std::function<void(Step&)>>& faults() {
  static const std::map<std::string, std::function<void(Step&)>> all = {
      {"none", of_nothing},
      {"host-read", host_reads_device_memory},
      {"missing-event", missing_event},
      {"blocking-upload", blocking_upload},
      {"synchronization", a_synchronization_too_many},
      {"recorded", a_recorded_step},
      {"question-while-recording", a_question_while_recording},
  };
  return all;
}

}  // namespace

int main(int count, char** arguments) {
  const auto fault = faults().find(count == 2 ? arguments[1] : "");
  if (fault == faults().end()) return 2;
  Step step;
  of_nothing(step);  // what the first one sets up is no step's
  step.weight.mutable_grad().reset();
  fault->second(step);
  return 0;
}
