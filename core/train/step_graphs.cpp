#include "core/train/step_graphs.h"

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/data/upload/batch_upload.h"
#include "core/step/device/recorded_work_cuda.h"

namespace thaw {
namespace {

void add_sizes(const at::Tensor& tensor, std::vector<std::int64_t>& sizes) {
  sizes.push_back(tensor.defined() ? tensor.dim() : -1);
  if (!tensor.defined()) return;
  sizes.insert(sizes.end(), tensor.sizes().begin(), tensor.sizes().end());
}

}  // namespace

BatchShape shape_of(const Batch& batch, double weight) {
  BatchShape shape{.sizes = {batch.size()}, .offsets = {}, .weight = weight};
  for (const at::Tensor& tensor : {batch.inputs, batch.types, batch.labels}) {
    add_sizes(tensor, shape.sizes);
  }
  if (batch.offsets.defined()) {
    const auto* first = batch.offsets.const_data_ptr<std::int64_t>();
    shape.offsets.assign(first, first + batch.offsets.numel());
  }
  return shape;
}

CaptureDecision::Way CaptureDecision::next(const BatchShape& shape, std::int64_t epoch) {
  auto found = std::ranges::find(seen_, shape, &Seen::shape);
  if (found == seen_.end()) {
    seen_.push_front({.shape = shape});
    if (seen_.size() > kMostShapes) seen_.pop_back();
    found = seen_.begin();
  } else {
    seen_.splice(seen_.begin(), seen_, found);
  }
  const bool warm = found->times >= kWarmUp && found->epoch == epoch;
  ++found->times;
  found->epoch = epoch;
  fruitless_ = warm ? 0 : fruitless_ + 1;
  return warm ? Way::kCapture : Way::kQueue;
}

StepGraphs::StepGraphs(c10::Device gpu, std::vector<at::Tensor> parameters)
    : gpu_(gpu), parameters_(std::move(parameters)) {}

StepGraphs::~StepGraphs() {
  for (const Graph& graph : graphs_) graph.gradients.take_away();
}

StepGraphs::Graph* StepGraphs::find(const BatchShape& shape, std::int64_t epoch) {
  const auto found = std::ranges::find_if(
      graphs_, [&](const Graph& graph) { return graph.epoch == epoch && graph.shape == shape; });
  if (found == graphs_.end()) return nullptr;
  graphs_.splice(graphs_.begin(), graphs_, found);
  return &graphs_.front();
}

StepGraphs::Graph& StepGraphs::capture(const BatchShape& shape, const Batch& batch,
                                       const std::function<void(const Batch&)>& queue) {
  auto place = std::make_unique<BatchPlace>(*batch.upload);
  std::unique_ptr<RecordedWork> work;
  try {
    RecordedWork* const earlier = graphs_.empty() ? nullptr : graphs_.front().work.get();
    work = record_work(gpu_, earlier, [&] { queue(place->view()); });
  } catch (const c10::Error& error) {
    throw RunError(fmt::format(
        "a training step could not be captured in a CUDA graph: {}; set train.cuda-graphs to off",
        error.what_without_backtrace()));
  }
  // Only now, so that their memory was there to be shared.
  std::erase_if(graphs_, [&](const Graph& graph) { return graph.epoch != batch.epoch; });
  if (graphs_.size() == kMost) graphs_.pop_back();
  graphs_.push_front(
      {shape, batch.epoch, std::move(place), std::move(work), LeftGradients(parameters_)});
  return graphs_.front();
}

bool StepGraphs::run(const Batch& batch, double weight, bool may_capture,
                     const std::function<void(const Batch&)>& queue) {
  if (gave_up()) return false;
  const BatchShape shape = shape_of(batch, weight);
  Graph* graph = find(shape, batch.epoch);
  if (graph == nullptr) {
    if (!may_capture || decision_.next(shape, batch.epoch) == CaptureDecision::Way::kQueue) {
      return false;
    }
    graph = &capture(shape, batch, queue);
  }
  graph->place->bring(*batch.upload);
  graph->work->replay();
  graph->gradients.put_back();
  return true;
}

}  // namespace thaw
