#include "core/train/step_graphs.h"

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/progress/step_spans.h"
#include "core/data/counted_tokens.h"
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
  BatchShape shape{.sizes = {batch.size()}, .size_class = {}, .offsets = {}, .weight = weight};
  if (batch.upload != nullptr && batch.upload->size_class() != nullptr) {
    shape.size_class = *batch.upload->size_class();
  }
  if (shape.size_class) {
    shape.sizes.push_back(batch.types.defined() ? 1 : 0);
    add_sizes(batch.labels, shape.sizes);
    return shape;
  }
  for (const at::Tensor& tensor : {batch.inputs, batch.types, batch.labels}) {
    add_sizes(tensor, shape.sizes);
  }
  if (batch.labels_of_prompts) shape.sizes.push_back(counted_tokens(batch));
  if (batch.offsets.defined()) {
    const auto* first = batch.offsets.const_data_ptr<std::int64_t>();
    shape.offsets.assign(first, first + batch.offsets.numel());
  }
  return shape;
}

bool CaptureDecision::next(const BatchShape& shape, std::int64_t epoch) {
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
  return warm;
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

StepGraphs::Graph& StepGraphs::capture(BatchShape shape, const Batch& batch,
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
  decision_.was_captured();
  // Only now, so that their memory was there to be shared.
  std::erase_if(graphs_, [&](const Graph& graph) {
    return graph.epoch != batch.epoch || graph.shape == shape;
  });
  if (graphs_.size() == kMost) graphs_.pop_back();
  graphs_.push_front({captured_++, std::move(shape), batch.epoch, std::move(place), std::move(work),
                      LeftGradients(parameters_)});
  return graphs_.front();
}

StepChoice StepGraphs::possible_choice(const Batch& batch, double weight, bool may_record) {
  coming_.reset();
  // What to record of an empty share is nobody's worry.
  if (gave_up() || batch.upload == nullptr || batch.size() == 0) return {.way = StepWay::kQueue};
  BatchShape shape = shape_of(batch, weight);
  Graph* const graph = find(shape, batch.epoch);
  const bool records = graph == nullptr && may_record && decision_.next(shape, batch.epoch);
  coming_ = Coming{std::move(shape), graph};
  if (graph != nullptr) return {.way = StepWay::kReplay, .graph = graph->number};
  return {.way = records ? StepWay::kRecord : StepWay::kQueue};
}

void StepGraphs::run(StepWay way, const Batch& batch,
                     const std::function<void(const Batch&)>& queue) {
  TORCH_CHECK(coming_.has_value(), "StepGraphs: nobody has asked how this step can be made");
  Coming step = std::move(*std::exchange(coming_, std::nullopt));
  Graph* const graph =
      way == StepWay::kRecord ? &capture(std::move(step.shape), batch, queue) : step.graph;
  TORCH_CHECK(graph != nullptr, "StepGraphs: no graph of this step");
  const SpanTimer queued_at_once(StepSpan::kGraph);
  graph->place->bring(*batch.upload);
  graph->work->replay();
  graph->gradients.put_back();
}

}  // namespace thaw
