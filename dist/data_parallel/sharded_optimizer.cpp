#include "dist/data_parallel/sharded_optimizer.h"

#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/base/fact.h"
#include "core/parallel/agreement.h"
#include "core/parallel/fact_agreement.h"
#include "core/parallel/slices.h"
#include "core/parallel/tensor_checks.h"

namespace thaw {

namespace {

void check_parameter(const at::Tensor& parameter, std::size_t group, std::size_t place) {
  const bool fits =
      parameter.defined() && parameter.is_contiguous() &&
      (parameter.scalar_type() == at::kFloat || parameter.scalar_type() == at::kDouble ||
       parameter.scalar_type() == at::kBFloat16);
  if (fits) return;
  throw InputError(fmt::format(
      "ShardedOptimizer: parameter {} of group {} is {}; it takes float32, float64 and bfloat16 in "
      "row-major order",
      place, group, describe(parameter)));
}

Facts facts_of(const std::vector<torch::optim::OptimizerParamGroup>& groups) {
  Facts facts = {{"", "groups", fmt::format("{}", groups.size())}};
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const std::vector<at::Tensor>& parameters = groups[g].params();
    const std::string group = fmt::format("group {}", g);
    facts.push_back({group, "parameters", fmt::format("{}", parameters.size())});
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      facts.push_back({fmt::format("{}, parameter {}", group, i), "is",
                       fmt::format("{} elements of {}", parameters[i].numel(),
                                   c10::toString(parameters[i].scalar_type()))});
    }
  }
  return facts;
}

}  // namespace

SlicedUpdate::SlicedUpdate(Communicator& communicator,
                           const std::vector<torch::optim::OptimizerParamGroup>& groups)
    : communicator_(communicator.split(0)) {
  agreed(*communicator_, [&] {
    for (std::size_t g = 0; g < groups.size(); ++g) {
      for (std::size_t i = 0; i < groups[g].params().size(); ++i)
        check_parameter(groups[g].params()[i], g, i);
    }
  });
  agree_on_facts(*communicator_, "parameters of a sharded optimizer", facts_of(groups));
  const auto self = static_cast<std::size_t>(communicator_->rank());
  for (const torch::optim::OptimizerParamGroup& group : groups) {
    std::vector<at::Tensor> parts;
    for (const at::Tensor& parameter : group.params()) {
      const auto unit = kSliceBytes / static_cast<std::int64_t>(parameter.element_size());
      Cuts cuts = even_cuts(parameter.numel(), communicator_->size(), unit);
      parts.push_back(flat(parameter, cuts[self], cuts[self + 1]));
      members_.push_back({parameter, parts.back(), std::move(cuts)});
    }
    torch::optim::OptimizerParamGroup& own = groups_.emplace_back(std::move(parts));
    if (group.has_options()) {
      own.set_options(group.options().clone());
    }
  }
}

SlicedUpdate::~SlicedUpdate() = default;
SlicedUpdate::SlicedUpdate(SlicedUpdate&&) noexcept = default;
SlicedUpdate& SlicedUpdate::operator=(SlicedUpdate&&) noexcept = default;

void SlicedUpdate::take_gradients() {
  const auto self = static_cast<std::size_t>(communicator_->rank());
  std::vector<double> seen(members_.size() + 1, 0.0);  // has a gradient; the last: one was moved
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const Member& member = members_[i];
    if (!member.part.storage().is_alias_of(member.parameter.storage())) seen.back() = 1;
    const at::Tensor& grad = member.parameter.grad();
    at::Tensor& own = member.part.mutable_grad();
    own.reset();
    if (!grad.defined()) continue;
    seen[i] = 1;
    own = grad.is_contiguous() ? flat(grad, member.cuts[self], member.cuts[self + 1])
                               : grad.to_dense().contiguous().view(-1).slice(0, member.cuts[self],
                                                                             member.cuts[self + 1]);
  }
  communicator_->all_reduce(seen);
  const bool moved = seen.back() > 0;
  const bool equal = std::all_of(seen.begin(), seen.end() - 1, [&](double ranks) {
    return ranks == 0 || ranks == communicator_->size();
  });
  if (equal && !moved) return;
  for (const Member& member : members_) member.part.mutable_grad().reset();
  if (moved) {
    RunError error(
        "ShardedOptimizer: a parameter was moved after the optimizer was made (to(), set_data, "
        "weights loaded into a model of Thaw's), which would go on updating its old memory: make "
        "the optimizer after that");
    error.mark_agreed();
    throw error;
  }
  DisagreementError error(
      "ShardedOptimizer: ranks have gradients for different parameters; all take the same step, "
      "after gradients were averaged (DataParallel)");
  error.mark_agreed();
  throw error;
}

// What a rank has updated is written behind autograd's back: parameters count a change all the
// same, for who looks whether there was one.
void SlicedUpdate::share() {
  const c10::AutoGradMode no_grad(false);
  for (const Member& member : members_) {
    if (!member.part.grad().defined()) continue;
    member.part.mutable_grad().reset();
    communicator_->start_all_gather(flat(member.parameter), member.cuts)->wait_on_stream();
    member.parameter.unsafeGetTensorImpl()->bump_version();
  }
}

void SlicedUpdate::drop_gradients(bool set_to_none) {
  const c10::AutoGradMode no_grad(false);
  for (const Member& member : members_) {
    at::Tensor& grad = member.parameter.mutable_grad();
    if (!grad.defined()) continue;
    if (set_to_none) {
      grad.reset();
    } else {
      grad.zero_();
    }
  }
}

}  // namespace thaw
