#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/core/models/text_fixture.h"

// What holds of every model of texts, however it is run: group by group, with layers frozen,
// packed, recomputing, with dropout. Models are in float64.

namespace thaw {

using MakeModel = std::function<std::shared_ptr<Model>()>;
/// A number that gradients are taken of: of a model, or of what it returned.
using LossOf = std::function<at::Tensor(Model&)>;
using SumOf = std::function<at::Tensor(const at::Tensor&)>;
/// Names of groups.
using ActiveSet = std::vector<std::string>;

inline void expect_groups(const Model& model, const std::vector<std::string>& wanted) {
  std::vector<std::string> names;
  std::size_t parameters = 0;
  for (const GroupTensors& group : resolve_groups(model)) {
    names.push_back(group.name);
    parameters += group.parameters.size();
  }
  EXPECT_EQ(names, wanted);
  EXPECT_EQ(parameters, model.named_parameters().size());
}

/// Whichever groups run without autograd, the result is that of the whole.
inline void expect_any_frozen_prefix(Model& model, const Batch& batch) {
  const at::Tensor whole = model.forward(batch);
  const std::size_t groups = model.groups().size();
  for (std::size_t cut = 0; cut < groups; ++cut) {
    at::Tensor hidden;
    {
      const at::NoGradGuard no_grad;
      for (std::size_t group = 0; group < cut; ++group) {
        hidden = model.run(group, group + 1, hidden, batch);
      }
    }
    const at::Tensor result = model.run(cut, groups, hidden, batch);
    EXPECT_LE(relative_difference(result, whole.detach()), 1e-14) << cut;
    EXPECT_TRUE(result.requires_grad());
  }
}

/// What is active has the full model's gradients, all else has none.
inline void expect_gradients_of(const std::vector<ActiveSet>& sets, const MakeModel& make,
                                const LossOf& loss_of) {
  const auto full = make();
  loss_of(*full).backward();
  const auto gradients = full->named_parameters();
  for (const ActiveSet& active : sets) {
    const auto model = make();
    activate(*model, active);
    loss_of(*model).backward();
    for (const auto& item : model->named_parameters()) {
      if (item.value().requires_grad()) {
        EXPECT_LE((item.value().grad() - gradients[item.key()].grad()).norm().item<double>(), 1e-13)
            << item.key();
      } else {
        EXPECT_FALSE(item.value().grad().defined()) << item.key();
      }
    }
  }
}

/// Results and gradients of a batch are those of its samples one by one, but for gradients that
/// `is_zero` names, which are rounding.
inline void expect_samples_as_alone(
    Model& model, const Batch& batch, const SumOf& sum_of, double tolerance,
    const std::function<bool(const std::string&)>& is_zero = [](const std::string&) {
      return false;
    }) {
  const at::Tensor packed = model.forward(batch);
  sum_of(packed).backward();
  std::map<std::string, at::Tensor> together;
  for (const auto& item : model.named_parameters()) {
    together[item.key()] = item.value().grad().clone();
  }
  model.zero_grad();
  std::vector<at::Tensor> alone;
  for (std::int64_t n = 0; n < batch.size(); ++n) {
    alone.push_back(model.forward(batch.slice(n, n + 1)));
    sum_of(alone.back()).backward();
  }
  EXPECT_LE(relative_difference(at::cat(alone), packed), 1e-13);
  for (const auto& item : model.named_parameters()) {
    if (is_zero(item.key())) continue;
    EXPECT_LE(relative_difference(item.value().grad(), together[item.key()]), tolerance)
        << item.key();
  }
}

/// Gradients have the same bits where layers are computed again in backward.
inline void expect_recomputation_changes_nothing(const std::vector<ActiveSet>& sets,
                                                 const MakeModel& make, const LossOf& loss_of) {
  const auto kept = make();
  const auto recomputing = make();
  recomputing->set_gradient_checkpointing(true);
  for (const ActiveSet& active : sets) {
    for (Model* model : {kept.get(), recomputing.get()}) {
      model->zero_grad();
      activate(*model, active);
      loss_of(*model).backward();
    }
    const auto gradients = kept->named_parameters();
    for (const auto& item : recomputing->named_parameters()) {
      if (!item.value().requires_grad()) continue;
      EXPECT_TRUE(at::equal(item.value().grad(), gradients[item.key()].grad())) << item.key();
    }
  }
}

/// What a step in training mode, with dropout drawn as in an epoch, comes to.
struct TrainingStep {
  at::Tensor result;
  std::vector<at::Tensor> gradients;
};

inline TrainingStep training_step(Model& model, const Batch& batch, const SumOf& sum_of) {
  model.train();
  model.zero_grad();
  const DrawScope scope = draw_scope(batch);
  TrainingStep step;
  step.result = model.forward(batch);
  sum_of(step.result).backward();
  for (const at::Tensor& parameter : model.parameters()) {
    step.gradients.push_back(parameter.grad().clone());
  }
  return step;
}

/// The same draws in one piece and in two, and where layers are computed again; returns the step in
/// one piece.
inline TrainingStep expect_dropout_by_sample(Model& model, const Batch& batch,
                                             const SumOf& sum_of) {
  TrainingStep whole = training_step(model, batch, sum_of);
  const TrainingStep first = training_step(model, batch.slice(0, 2), sum_of);
  const TrainingStep rest = training_step(model, batch.slice(2, batch.size()), sum_of);
  EXPECT_LE(relative_difference(at::cat({first.result, rest.result}), whole.result), 1e-13);
  model.set_gradient_checkpointing(true);
  const TrainingStep again = training_step(model, batch, sum_of);
  model.set_gradient_checkpointing(false);
  for (std::size_t i = 0; i < whole.gradients.size(); ++i) {
    const double size = std::max(whole.gradients[i].norm().item<double>(), 1.0);
    const at::Tensor sum = first.gradients[i] + rest.gradients[i];
    EXPECT_LE((sum - whole.gradients[i]).norm().item<double>() / size, 1e-10) << i;
    EXPECT_TRUE(at::equal(again.gradients[i], whole.gradients[i])) << i;
  }
  return whole;
}

}  // namespace thaw
