#include "core/measure/start_weights.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "core/base/hash.h"
#include "core/step/parameter_table.h"

namespace thaw {
namespace {

/// Its 2-norm, summed in double precision.
double norm_of(const at::Tensor& tensor) {
  return at::linalg_vector_norm(tensor, 2, {}, /*keepdim=*/false, at::kDouble).item().toDouble();
}

/// As differences are taken: what has fewer bits than a float would lose them.
at::Tensor wide(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? tensor : tensor.to(at::kFloat);
}

}  // namespace

StartWeights::Kept StartWeights::keep(std::size_t group, const ParameterTable& parameters) {
  const c10::AutoGradMode no_grad(false);
  Kept kept;
  RunningHash hash;
  double squares = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters.facts()[i].group != group) continue;
    const at::Tensor& now = parameters.tensors()[i];
    at::Tensor copy = now.detach()
                          .to(at::kCPU, now.scalar_type(), /*non_blocking=*/false, /*copy=*/true)
                          .contiguous();
    hash.add(copy.const_data_ptr(), copy.nbytes());
    squares += std::pow(norm_of(wide(copy)), 2);
    kept.tensors.push_back(std::move(copy));
  }
  kept.norm = std::sqrt(squares);
  kept.fingerprint = hash.value().hex();
  return kept;
}

void StartWeights::thaw(const std::set<std::string>& active, const ParameterTable& parameters) {
  if (!known_) return;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const ParameterFacts& facts = parameters.facts()[i];
    const std::string& group = parameters.groups()[facts.group];
    if (active.contains(facts.name) && !kept_.contains(group)) {
      kept_.emplace(group, keep(facts.group, parameters));
    }
  }
}

void StartWeights::resume(const std::optional<StartFingerprints>& recorded,
                          const ParameterTable& parameters) {
  if (!recorded) {
    known_ = false;
    kept_.clear();
    return;
  }
  for (std::size_t g = 0; g < parameters.groups().size(); ++g) {
    const std::string& group = parameters.groups()[g];
    const auto found = recorded->find(group);
    // A run that goes back within its process has the copy still, and other weights in the network.
    if (found == recorded->end()) continue;
    if (const auto has = kept_.find(group);
        has != kept_.end() && has->second.fingerprint == found->second) {
      continue;
    }
    Kept kept = keep(g, parameters);
    if (kept.fingerprint != found->second) kept = {.tensors = {}, .fingerprint = found->second};
    kept_.insert_or_assign(group, std::move(kept));
  }
}

std::optional<StartFingerprints> StartWeights::fingerprints() const {
  if (!known_) return std::nullopt;
  StartFingerprints all;
  for (const auto& [group, kept] : kept_) all[group] = kept.fingerprint;
  return all;
}

std::vector<std::optional<double>> StartWeights::distances(const ParameterTable& parameters) const {
  const c10::AutoGradMode no_grad(false);
  std::vector<std::optional<double>> distances;
  for (std::size_t g = 0; g < parameters.groups().size(); ++g) {
    std::optional<double>& distance = distances.emplace_back();
    if (!known_) continue;
    const auto found = kept_.find(parameters.groups()[g]);
    if (found == kept_.end()) {
      distance = 0;
      continue;
    }
    const Kept& kept = found->second;
    if (kept.tensors.empty()) continue;
    double squares = 0;
    std::size_t next = 0;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (parameters.facts()[i].group != g) continue;
      const at::Tensor now = wide(parameters.tensors()[i].detach());
      const at::Tensor start = kept.tensors[next++].to(now.device(), now.scalar_type());
      squares += std::pow(norm_of(now - start), 2);
    }
    distance = std::sqrt(squares) / (kept.norm > 0 ? kept.norm : 1);
  }
  return distances;
}

std::size_t StartWeights::bytes() const {
  std::size_t sum = 0;
  for (const auto& [group, kept] : kept_) {
    for (const at::Tensor& tensor : kept.tensors) sum += tensor.nbytes();
  }
  return sum;
}

std::vector<std::optional<double>> gradient_norms(const ParameterTable& parameters) {
  const c10::AutoGradMode no_grad(false);
  std::vector<std::optional<double>> squares(parameters.groups().size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor& gradient = parameters.tensors()[i].grad();
    if (!parameters.tensors()[i].requires_grad() || !gradient.defined()) continue;
    std::optional<double>& sum = squares[parameters.facts()[i].group];
    sum = sum.value_or(0) + std::pow(norm_of(gradient), 2);
  }
  for (std::optional<double>& sum : squares) {
    if (sum) sum = std::sqrt(*sum);
  }
  return squares;
}

}  // namespace thaw
