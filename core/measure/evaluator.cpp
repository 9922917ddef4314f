#include "core/measure/evaluator.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/full.h>
#include <c10/core/GradMode.h>

#include <numeric>
#include <vector>

#include "core/data/dataset.h"
#include "core/data/loading/evaluation_loader.h"
#include "core/models/model.h"
#include "core/parallel/communicator.h"
#include "core/step/gradient_pass.h"

namespace thaw {
namespace {

/// float64, one a sample; of a loss of somebody's own, which tells means only, the mean.
at::Tensor losses_of(const LossFunction* loss, const at::Tensor& logits, const Batch& batch) {
  if (!loss || !*loss) {
    return at::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::None).to(at::kDouble);
  }
  const double sum = summed_loss(loss, logits, batch, 0).item().toDouble();
  return at::full({batch.size()}, sum / static_cast<double>(batch.size()), at::kDouble);
}

/// As for_each_prediction, with the shard of its global batch that each batch is.
void for_each_shard(
    Model& model, const Dataset& dataset, const std::string& split,
    const EvaluationSettings& settings, int rank, int ranks,
    const std::function<void(std::int64_t, const Batch&, const at::Tensor&)>& consume) {
  const c10::AutoGradMode no_grad(false);
  EvaluationLoader loader(dataset, split,
                          {.batch = settings.batch,
                           .read_ahead = settings.read_ahead,
                           .rank = rank,
                           .ranks = ranks,
                           .shards = settings.shards});
  while (const std::optional<Batch> batch = loader.next()) {
    if (batch->size() == 0) {
      continue;
    }
    const at::Tensor logits = model.forward(to_model(*batch, model));
    const at::ScalarType type = logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    consume(loader.shard(), *batch, logits.to(at::kCPU, type));
  }
}

}  // namespace

void for_each_prediction(Model& model, const Dataset& dataset, const std::string& split,
                         const EvaluationSettings& settings, int rank, int ranks,
                         const std::function<void(const Batch&, const at::Tensor&)>& consume) {
  for_each_shard(
      model, dataset, split, settings, rank, ranks,
      [&](std::int64_t, const Batch& batch, const at::Tensor& logits) { consume(batch, logits); });
}

ClassCounts evaluate(Model& model, const Dataset& dataset, const std::string& split,
                     const EvaluationSettings& settings, Communicator& communicator) {
  ClassCounts counts(static_cast<std::int64_t>(dataset.classes().size()));
  // One rank alone has a shard, so its sum is exact whatever the order in which ranks are summed.
  const std::int64_t shards = settings.shards > 0 ? settings.shards : communicator.size();
  std::vector<double> loss_sums(static_cast<std::size_t>(shards), 0.0);
  const auto count = [&](std::int64_t shard, const Batch& batch, const at::Tensor& logits) {
    const at::Tensor losses = losses_of(settings.loss, logits, batch);
    const at::Tensor predicted = at::argmax(logits, 1);
    const double* loss = losses.const_data_ptr<double>();
    const std::int64_t* label = batch.labels.const_data_ptr<std::int64_t>();
    const std::int64_t* prediction = predicted.const_data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      counts.add(label[i], prediction[i]);
      loss_sums[static_cast<std::size_t>(shard)] += loss[i];
    }
  };
  for_each_shard(model, dataset, split, settings, communicator.rank(), communicator.size(), count);
  communicator.all_reduce(counts.sums());
  communicator.all_reduce(loss_sums);
  counts.add_loss(std::accumulate(loss_sums.begin(), loss_sums.end(), 0.0));
  return counts;
}

}  // namespace thaw
