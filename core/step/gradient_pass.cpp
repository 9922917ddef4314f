#include "core/step/gradient_pass.h"

#include <ATen/ops/full_like.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "core/base/progress/step_spans.h"
#include "core/data/batch.h"
#include "core/data/upload/batch_upload.h"
#include "core/kernels/flop_counter.h"
#include "core/kernels/random/draw_scope.h"
#include "core/models/layers/batch_norm.h"
#include "core/models/model.h"
#include "core/parallel/sum_tree.h"
#include "core/step/frozen_prefix.h"
#include "core/step/group_clock.h"
#include "core/tasks/task.h"

namespace thaw {
namespace {

std::span<const std::int64_t> offsets_of(const Batch& batch) {
  if (!batch.offsets.defined()) {
    return {};
  }
  return {batch.offsets.const_data_ptr<std::int64_t>(),
          static_cast<std::size_t>(batch.offsets.numel())};
}

}  // namespace

at::Tensor GradientPass::run(const Batch& batch, SampleShare share, double weight, std::size_t cut,
                             GradientReducer& reducer) {
  if (settings_.shards > 0) return run_shards(batch, share, weight, cut, reducer);
  const std::vector<SampleRange> pieces = micro_batches_of(
      offsets_of(batch), share, settings_.micro_batch, {settings_.ranks, batch_norms_});
  at::Tensor loss_sum;
  for (std::size_t pass = 0; pass < pieces.size(); ++pass) {
    const SampleRange piece = pieces[pass];
    if (pass + 1 == pieces.size()) {
      reducer.last_backward();
    }
    const at::Tensor loss = run_micro_batch(
        pieces.size() == 1 ? batch : batch.slice(piece.first, piece.last), weight, cut);
    loss_sum = loss_sum.defined() ? loss_sum.add_(loss) : loss;
  }
  return loss_sum;
}

at::Tensor GradientPass::run_shards(const Batch& batch, SampleShare share, double weight,
                                    std::size_t cut, GradientReducer& reducer) {
  const ShardRange own = shards_of_rank(settings_.shards, settings_.rank, settings_.ranks);
  const std::int64_t begin = samples_of_shards({0, share.total}, own, settings_.shards).first;
  at::Tensor losses = at::zeros({settings_.shards}, at::kDouble);
  auto* const loss_of = losses.mutable_data_ptr<double>();
  for (std::int64_t shard = own.first; shard < own.last; ++shard) {
    const SampleRange piece = balanced_piece({0, share.total}, shard, settings_.shards);
    if (!piece.empty()) {
      Batch alone = batch.slice(piece.first - begin, piece.last - begin);
      // In memory of its own: what some kernels compute depends on where their input begins.
      alone.inputs = alone.inputs.clone();
      loss_of[shard] = run_micro_batch(alone, weight, cut).item().toDouble();
    }
    reducer.finish_shard();
  }
  return losses;
}

at::Tensor GradientPass::run_micro_batch(const Batch& batch, double weight, std::size_t cut) {
  const Batch placed = to_model(batch, model_);
  const DrawScope scope({.seed = settings_.seed,
                         .epoch = static_cast<std::uint64_t>(batch.epoch),
                         .samples = placed.samples,
                         .offsets = offsets_of(placed),
                         .device = placed.rows,
                         .fast = settings_.fast_draws});
  std::optional<SpanTimer> forward(std::in_place, StepSpan::kForward);
  const BeforeGroup before = std::exchange(before_, {});
  const at::Tensor outputs = clock_ != nullptr
                                 ? clock_->forward(model_, cut, placed, prefix_, before)
                                 : forward_past_prefix(model_, cut, placed, prefix_, before);
  const at::Tensor logits =
      placed.size_class != nullptr ? outputs.narrow(0, 0, placed.counted()) : outputs;
  const at::Tensor loss = settings_.task->loss(logits, placed, settings_.label_smoothing);
  forward.reset();
  if (loss.requires_grad()) {
    const SpanTimer backward(StepSpan::kBackward);
    const FlopBackward counted;
    const double parts = std::max(weight, 1.0);
    const auto run = [&] {  // a GPU is asked for one kernel in place of three
      loss.is_cuda() ? loss.backward(at::full_like(loss, 1 / parts)) : (loss / parts).backward();
    };
    clock_ != nullptr ? clock_->backward(run) : run();
  }
  return loss.detach();
}

Batch to_model(Batch batch, const Model& model) {
  const std::vector<at::Tensor> parameters = model.parameters(/*recurse=*/true);
  if (parameters.empty()) {
    return batch;
  }
  const at::TensorOptions wanted = parameters.front().options();
  if (wanted.device().is_cuda()) {
    batch = batch.upload != nullptr ? batch.upload->use() : uploaded(batch, wanted.device());
  }
  if (batch.inputs.is_floating_point()) {
    batch.inputs = batch.inputs.to(wanted.device(), wanted.dtype().toScalarType(),
                                   /*non_blocking=*/true);
  } else {
    batch.inputs = batch.inputs.to(wanted.device(), batch.inputs.scalar_type(), true);
  }
  if (batch.types.defined()) batch.types = batch.types.to(wanted.device(), at::kLong, true);
  batch.labels = batch.labels.to(wanted.device(), batch.labels.scalar_type(), true);
  return batch;
}

std::optional<at::Device> gpu_of(const Model& model) {
  const std::vector<at::Tensor> parameters = model.parameters(/*recurse=*/true);
  if (parameters.empty() || !parameters.front().is_cuda()) return std::nullopt;
  return parameters.front().device();
}

}  // namespace thaw
