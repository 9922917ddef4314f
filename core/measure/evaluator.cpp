#include "core/measure/evaluator.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <numeric>
#include <utility>
#include <vector>

#include "core/data/dataset.h"
#include "core/data/loading/evaluation_loader.h"
#include "core/models/model.h"
#include "core/parallel/communicator.h"
#include "core/step/gradient_pass.h"
#include "core/tasks/task.h"

namespace thaw {
namespace {

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

Measurement evaluate(Model& model, const Dataset& dataset, const std::string& split,
                     const Task& task, const EvaluationSettings& settings,
                     Communicator& communicator) {
  Measurement sums = task.nothing(dataset.split(split).size());
  // One rank alone has a shard, so its sum is exact whatever the order in which ranks are summed.
  const std::int64_t shards = settings.shards > 0 ? settings.shards : communicator.size();
  std::vector<double> losses(static_cast<std::size_t>(shards), 0.0);
  const auto measure = [&](std::int64_t shard, const Batch& batch, const at::Tensor& outputs) {
    std::swap(sums.loss, losses[static_cast<std::size_t>(shard)]);
    task.measure(outputs, batch, sums);
    std::swap(sums.loss, losses[static_cast<std::size_t>(shard)]);
  };
  for_each_shard(model, dataset, split, settings, communicator.rank(), communicator.size(),
                 measure);
  std::vector<double> whole = {sums.weight, static_cast<double>(sums.samples)};
  communicator.all_reduce(whole);
  communicator.all_reduce(losses);
  if (!sums.counts.empty()) communicator.all_reduce(sums.counts);
  if (!sums.rows.empty()) communicator.all_reduce(sums.rows);
  sums.weight = whole[0];
  sums.samples = static_cast<std::int64_t>(whole[1]);
  sums.loss = std::accumulate(losses.begin(), losses.end(), 0.0);
  return sums;
}

}  // namespace thaw
