// Steps over batches of two shapes as CUDA graphs (StepGraphs), for graphs_test.py: after each step
// `.grad` is what the graph that was queued writes to, whichever of them was captured last.

#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cstdio>
#include <memory>
#include <vector>

#include "core/data/batch.h"
#include "core/data/upload/batch_upload.h"
#include "core/step/step_agreement.h"
#include "core/train/step_graphs.h"

namespace {

const at::Device kGpu(at::kCUDA, 0);
constexpr std::int64_t kWidth = 64;

thaw::Batch texts(const std::vector<std::int64_t>& offsets, thaw::BatchUploader& uploader) {
  thaw::Batch batch;
  batch.inputs = at::ones({offsets.back()}, at::kLong);
  batch.offsets = at::tensor(offsets, at::kLong);
  batch.samples.resize(offsets.size() - 1);
  batch.labels = at::zeros({batch.size()}, at::kLong);
  batch.upload = uploader.start(batch);
  return batch;
}

at::Tensor parameter() { return at::ones({kWidth, kWidth}, kGpu).set_requires_grad(true); }

struct Steps {
  /// Of one sample it reaches the first parameter alone.
  void queue(const thaw::Batch& batch) const {
    for (const at::Tensor& each : parameters) each.mutable_grad().reset();
    const at::Tensor x = batch.inputs.to(at::kFloat).view({-1, 1}).expand({-1, kWidth});
    at::Tensor y = at::linear(x, parameters[0]);
    if (batch.size() > 1) y = at::linear(y, parameters[1]);
    y.sum().backward();
  }

  /// Whether the step was a graph.
  bool run(const thaw::Batch& batch) const {
    const thaw::StepWay way = graphs->possible_choice(batch, /*weight=*/1, /*may_record=*/true).way;
    if (way == thaw::StepWay::kQueue) {
      graphs->was_queued();
      queue(batch.upload->use());
      return false;
    }
    graphs->run(way, batch, [this](const thaw::Batch& placed) { queue(placed); });
    return true;
  }

  bool run_until_captured(const thaw::Batch& batch) const {
    for (int i = 0; i < thaw::CaptureDecision::kWarmUp; ++i) {
      if (run(batch)) return false;
    }
    return run(batch);
  }

  /// Where gradients lie; null for none.
  std::vector<const void*> places() const {
    std::vector<const void*> found;
    for (const at::Tensor& each : parameters) {
      found.push_back(each.grad().defined() ? each.grad().const_data_ptr() : nullptr);
    }
    return found;
  }

  std::vector<at::Tensor> parameters = {parameter(), parameter()};
  std::unique_ptr<thaw::StepGraphs> graphs = std::make_unique<thaw::StepGraphs>(kGpu, parameters);
};

int failures = 0;

void expect(bool holds, const char* what) {
  if (!holds) ++failures;
  std::printf("%s: %s\n", holds ? "yes" : "NO", what);
}

}  // namespace

int main() {
  thaw::BatchUploader uploader(kGpu);
  const thaw::Batch one = texts({0, 3}, uploader), two = texts({0, 3, 5}, uploader);
  Steps steps;
  expect(steps.run_until_captured(one), "a graph of the first shape");
  const std::vector<const void*> of_one = steps.places();
  expect(of_one[0] != nullptr && of_one[1] == nullptr, "it reaches the first parameter alone");
  expect(steps.run_until_captured(two), "a graph of the second");
  const std::vector<const void*> of_two = steps.places();
  expect(of_two[0] != nullptr && of_two[1] != nullptr, "it reaches both");

  expect(steps.run(one) && steps.places() == of_one, "the first again");
  expect(steps.run(two) && steps.places() == of_two, "the second again");
  steps.queue(one.upload->use());
  expect(steps.places() != of_one, "a step call by call has memory of its own");
  expect(steps.run(one) && steps.places() == of_one, "a graph behind it");
  steps.graphs.reset();
  expect(steps.places() == std::vector<const void*>(2), "nothing is left of graphs that are gone");
  return failures == 0 ? 0 : 1;
}
