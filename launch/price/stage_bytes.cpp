#include "launch/price/stage_bytes.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <vector>

#include "core/schedule/stage_plan.h"
#include "core/step/parameter_table.h"
#include "dist/reduction/row_reduction.h"
#include "launch/price/rehearsal.h"

namespace thaw {
namespace {

std::int64_t dense_bytes(const StagePlan& plan) {
  std::int64_t bytes = 0;
  for (const ParameterFacts& facts : plan.parameters()) {
    bytes += facts.elements() * static_cast<std::int64_t>(size_of(facts.type));
  }
  return bytes;
}

/// Active parameters whose gradients may travel by rows.
std::vector<at::Tensor> candidates(const StagePlan& plan, const ParameterTable& parameters) {
  std::vector<at::Tensor> found;
  for (const ParameterFacts& facts : plan.parameters()) {
    const at::Tensor& tensor = parameters.tensors()[parameters.index_of(facts.name)];
    if (may_travel_by_rows(tensor)) found.push_back(tensor);
  }
  return found;
}

/// What travels in place of a whole gradient: see RowReduction, whose marks have two bytes a row.
std::int64_t bytes_by_rows(const at::Tensor& parameter, std::int64_t touched) {
  const std::int64_t rows = parameter.size(0);
  const auto whole = static_cast<std::int64_t>(parameter.nbytes());
  return 2 * rows + (2 * touched > rows ? whole : touched * (whole / rows));
}

}  // namespace

StageBytes bytes_of_stage(const RehearsedStage& rehearsed, const StagePlan& plan,
                          const ParameterTable& parameters, std::int64_t ranks,
                          const TouchingBatch& touching) {
  if (rehearsed.steps.empty()) return bytes_of_plan(plan, parameters, ranks);
  std::vector<RehearsedStep> steps = rehearsed.steps;
  if (steps.size() > 1) steps.erase(steps.begin());  // in which it is found out what goes by rows
  const std::int64_t bytes = steps.back().bytes;
  const bool equal = std::all_of(steps.begin(), steps.end(),
                                 [&](const RehearsedStep& step) { return step.bytes == bytes; });
  const std::vector<at::Tensor> by_rows = candidates(plan, parameters);
  const std::int64_t dense = dense_bytes(plan);
  if (by_rows.empty() || bytes == 0 || (equal && bytes == dense)) return {bytes, equal};
  if (by_rows.size() > 1) return {bytes, false};
  const at::Tensor& parameter = by_rows.front();
  const std::int64_t others = dense - static_cast<std::int64_t>(parameter.nbytes());
  const bool explained = std::all_of(steps.begin(), steps.end(), [&](const RehearsedStep& step) {
    return step.bytes == others + bytes_by_rows(parameter, touching.rehearsed(step.cursor));
  });
  if (!explained) return {bytes, false};
  return {others + bytes_by_rows(parameter, touching.last()), true};
}

StageBytes bytes_of_plan(const StagePlan& plan, const ParameterTable& parameters,
                         std::int64_t ranks) {
  if (ranks == 1) return {0, true};
  return {dense_bytes(plan), candidates(plan, parameters).empty()};
}

}  // namespace thaw
