#include "core/measure/forgetting.h"

#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/data/dataset.h"
#include "core/data/loading/training_loader.h"
#include "core/measure/similarity.h"
#include "core/models/model.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/parallel/tensor_checks.h"
#include "core/tasks/task.h"

namespace thaw {
namespace {

std::map<std::string, at::Tensor> tensors_of(const Model& model) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, tensor] : named_parameters(model)) tensors.emplace(name, tensor);
  for (const auto& [name, tensor] : named_buffers(model)) tensors.emplace(name, tensor);
  return tensors;
}

/// Of this tensor and the one that it was, squares added up.
struct Squares {
  double moved = 0, size = 0;
};

/// A few rows at a time: in float64 an embedding would take more than the rest of a small run.
Squares squares_of(const at::Tensor& now, const at::Tensor& start) {
  constexpr std::int64_t kElements = 1 << 18;
  const at::Tensor whole = start.dim() > 0 ? start : start.view({1});
  const at::Tensor whole_now = now.dim() > 0 ? now : now.view({1});
  const std::int64_t rows = whole.size(0);
  const std::int64_t step =
      std::max<std::int64_t>(1, kElements * rows / std::max<std::int64_t>(1, whole.numel()));
  Squares sums;
  for (std::int64_t first = 0; first < rows; first += step) {
    const std::int64_t count = std::min(step, rows - first);
    const at::Tensor from = whole.narrow(0, first, count).to(at::kDouble);
    const at::Tensor to = whole_now.narrow(0, first, count).to(at::kCPU, at::kDouble);
    sums.moved += (to - from).square().sum().item().toDouble();
    sums.size += from.square().sum().item().toDouble();
  }
  return sums;
}

/// ‖now − start‖ over ‖start‖, of all of a group's parameters together.
double relative_distance(const std::vector<NamedTensor>& now,
                         const std::vector<at::Tensor>& start) {
  const c10::AutoGradMode no_grad(false);
  Squares all;
  for (std::size_t i = 0; i < now.size(); ++i) {
    const Squares sums = squares_of(now[i].tensor.detach(), start[i]);
    all.moved += sums.moved;
    all.size += sums.size;
  }
  return all.size > 0 ? std::sqrt(all.moved / all.size) : std::sqrt(all.moved);
}

}  // namespace

Forgetting::Forgetting(Model& model, SourceTask source, const Dataset& target,
                       const Settings& settings)
    : model_(model),
      source_(std::move(source)),
      settings_(settings),
      groups_(resolve_groups(model)) {
  match_tensors();
  keep_start();
  choose_samples(target);
  start_representations_ = group_representations(model_, batches_);
}

void Forgetting::match_tensors() {
  // Where the head is tied to another group, the last one is no head: all is the network's.
  const bool has_head = !model_.group_aliases().contains("head");
  std::set<std::string> head;
  if (has_head) {
    for (const auto* tensors : {&groups_.back().parameters, &groups_.back().buffers}) {
      for (const NamedTensor& each : *tensors) head.insert(each.name);
    }
  }
  const std::map<std::string, at::Tensor> of_source = tensors_of(*source_.model);
  for (const auto& [name, tensor] : tensors_of(model_)) {
    if (head.contains(name)) continue;
    const auto found = of_source.find(name);
    if (found == of_source.end() || found->second.sizes() != tensor.sizes()) {
      throw InputError(fmt::format(
          "[retention]: the source task's network has {} \"{}\"; {}",
          found == of_source.end() ? "no" : "another shape of", name,
          has_head ? fmt::format("only the last group, \"{}\", may differ", groups_.back().name)
                   : "its head is tied to another group, so nothing may differ"));
    }
    shared_.push_back({tensor, found->second});
  }
}

void Forgetting::keep_start() {
  const c10::AutoGradMode no_grad(false);
  for (const GroupTensors& group : groups_) {
    std::vector<at::Tensor>& kept = start_.emplace_back();
    for (const NamedTensor& each : group.parameters) {
      kept.push_back(each.tensor.detach().to(at::kCPU).clone());
    }
  }
}

/// The first batches of an order of its own, without augmentation: the same on all ranks.
void Forgetting::choose_samples(const Dataset& target) {
  const std::int64_t wanted = std::min(settings_.samples, target.split("train").size());
  if (wanted == 0) return;
  const std::int64_t batch = std::min<std::int64_t>(wanted, settings_.evaluation.batch);
  TrainingLoader loader(target, {.batch = batch, .seed = settings_.seed, .read_ahead = 0});
  for (std::int64_t taken = 0; taken < wanted;) {
    Batch next = loader.next().batch;
    const std::int64_t count = std::min(wanted - taken, next.size());
    batches_.push_back(count == next.size() ? next : next.slice(0, count));
    taken += count;
  }
}

ForgettingReport Forgetting::measure(Communicator& communicator) {
  const Stopwatch watch;
  {
    const c10::AutoGradMode no_grad(false);
    for (const Pair& pair : shared_) pair.source.copy_(pair.trained);
  }
  source_.model->weights_changed();
  source_.model->eval();
  const Measurement sums = evaluate(*source_.model, *source_.dataset, source_.split, *source_.task,
                                    settings_.evaluation, communicator);
  ForgettingReport report;
  report.split = source_.split;
  report.loss = sums.mean_loss();
  report.figure = source_.task->named_figures(sums).front();
  report.samples = sums.samples;
  std::vector<at::Tensor> now;
  if (communicator.rank() == 0) now = group_representations(model_, batches_);
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    ForgettingReport::Group group;
    group.name = groups_[g].name;
    if (communicator.rank() == 0) {
      group.distance = relative_distance(groups_[g].parameters, start_[g]);
    }
    if (!now.empty()) group.similarity = linear_cka(start_representations_[g], now[g]);
    report.groups.push_back(group);
  }
  report.seconds = watch.seconds();
  return report;
}

}  // namespace thaw
