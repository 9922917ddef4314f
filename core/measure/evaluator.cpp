#include "core/measure/evaluator.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <deque>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "core/data/dataset.h"
#include "core/data/loading/evaluation_loader.h"
#include "core/models/model.h"
#include "core/parallel/communicator.h"
#include "core/step/frozen_prefix.h"
#include "core/step/gradient_pass.h"
#include "core/tasks/task.h"

namespace thaw {
namespace {

using Consume = std::function<void(std::int64_t, const Batch&, const at::Tensor&)>;

/// Outputs on their way from a GPU: they are consumed when they have come, in order, so that the
/// host waits at the end alone and the GPU never for the host.
class OutputsUnderWay {
 public:
  explicit OutputsUnderWay(const Consume& consume) : consume_(consume) {}

  void add(std::int64_t shard, Batch batch, const at::Tensor& outputs, at::ScalarType type) {
    at::Tensor host = at::empty(outputs.sizes(), at::TensorOptions(type).pinned_memory(true));
    host.copy_(outputs, /*non_blocking=*/true);
    c10::Event arrival(outputs.device().type());
    arrival.record(
        c10::impl::VirtualGuardImpl(outputs.device().type()).getStream(outputs.device()));
    batch.upload = nullptr;
    if (!batch.offsets.defined()) batch.inputs.reset();  // images, which nobody asks for any more
    bytes_ += host.nbytes();
    waiting_.push_back({shard, std::move(batch), std::move(host), std::move(arrival)});
    while (!waiting_.empty() && (waiting_.front().arrival.query() || bytes_ > kMostBytes)) {
      consume_first();
    }
  }

  void finish() {
    while (!waiting_.empty()) consume_first();
  }

 private:
  struct Outputs {
    std::int64_t shard;
    Batch batch;
    at::Tensor host;
    c10::Event arrival;
  };

  void consume_first() {
    Outputs first = std::move(waiting_.front());
    waiting_.pop_front();
    first.arrival.synchronize();
    bytes_ -= first.host.nbytes();
    consume_(first.shard, first.batch, first.host);
  }

  static constexpr std::size_t kMostBytes = 64 << 20;  ///< of memory that cannot be swapped out

  const Consume& consume_;
  std::deque<Outputs> waiting_;
  std::size_t bytes_ = 0;
};

/// As for_each_prediction, with the shard of its global batch that each batch is.
void for_each_shard(Model& model, const Dataset& dataset, const std::string& split,
                    const EvaluationSettings& settings, int rank, int ranks,
                    const Consume& consume) {
  const c10::AutoGradMode no_grad(false);
  EvaluationLoader loader(dataset, split,
                          {.batch = settings.batch,
                           .read_ahead = settings.read_ahead,
                           .rank = rank,
                           .ranks = ranks,
                           .shards = settings.shards,
                           .gpu = gpu_of(model)});
  OutputsUnderWay under_way(consume);
  while (const std::optional<Batch> batch = loader.next()) {
    if (batch->size() == 0) {
      continue;
    }
    const at::Tensor logits =
        forward_past_prefix(model, model.groups().size(), to_model(*batch, model), settings.prefix);
    const at::ScalarType type = logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    if (logits.is_cuda()) {
      under_way.add(loader.shard(), *batch, logits, type);
    } else {
      consume(loader.shard(), *batch, logits.to(at::kCPU, type));
    }
  }
  under_way.finish();
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
