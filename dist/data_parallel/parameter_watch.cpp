#include "dist/data_parallel/parameter_watch.h"

#include <fmt/format.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <set>

#include "core/base/error.h"

namespace thaw {

namespace {

// An optimizer's step changes nearly all values of nearly all parameters.
constexpr std::size_t kLookedAt = 32;

struct Claims {
  std::mutex mutex;
  std::set<const void*> tensors;
};

Claims& claims() {
  static auto* const all = new Claims();
  return *all;
}

std::uint32_t version_of(const at::Tensor& tensor) {
  const c10::VariableVersion& counter = tensor.unsafeGetTensorImpl()->version_counter();
  return counter.enabled() ? counter.current_version() : 0;
}

bool holds_something(const at::Tensor& grad) {
  return grad.layout() != at::kStrided || grad.count_nonzero().item<std::int64_t>() > 0;
}

}  // namespace

ParameterWatch::ParameterWatch(const std::vector<NamedTensor>& active) : active_(active) {
  const std::size_t step = std::max<std::size_t>(1, active.size() / kLookedAt);
  for (std::size_t i = 0; i < active.size(); ++i) {
    const at::Tensor& tensor = active[i].tensor;
    accumulators_.push_back(torch::autograd::impl::grad_accumulator(tensor));
    gradients_.push_back(gradient_of(at::Tensor()));
    if (i % step == 0 && tensor.is_cpu() && tensor.numel() > 0) samples_.push_back(i);
  }
}

ParameterWatch::Values ParameterWatch::values_of(const at::Tensor& tensor) {
  Values values = {};
  const auto* first = static_cast<const char*>(tensor.const_data_ptr());
  const std::size_t bytes = std::min<std::size_t>(tensor.element_size(), sizeof values[0]);
  const bool has_no_gaps = tensor.is_non_overlapping_and_dense();
  for (std::size_t i = 0; i < values.size(); ++i) {
    // The first, the middle and the last one.
    const std::size_t place =
        has_no_gaps ? static_cast<std::size_t>(tensor.numel() - 1) * i / (values.size() - 1) : 0;
    std::memcpy(&values[i], first + place * tensor.element_size(), bytes);
  }
  return values;
}

void ParameterWatch::remember() {
  values_.clear();
  for (const std::size_t i : samples_) values_.push_back(values_of(active_[i].tensor));
}

std::string ParameterWatch::changed() const {
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const NamedTensor& parameter = active_[samples_[i]];
    if (parameter.tensor.is_cpu() && values_of(parameter.tensor) != values_[i]) {
      return parameter.name;
    }
  }
  return {};
}

std::string ParameterWatch::moved() const {
  for (std::size_t i = 0; i < active_.size(); ++i) {
    // A frozen one, whose accumulator cannot be asked for, is the reducer's to notice.
    if (torch::autograd::impl::try_get_grad_accumulator(active_[i].tensor) != accumulators_[i]) {
      return active_[i].name;
    }
  }
  return {};
}

ParameterWatch::Gradient ParameterWatch::gradient_of(const at::Tensor& grad) {
  if (!grad.defined() || !grad.has_storage()) {
    return {.memory = decltype(Gradient::memory)(c10::intrusive_ptr<c10::StorageImpl>()),
            .offset = 0,
            .version = 0};
  }
  return {.memory = grad.storage().getWeakStorageImpl(),
          .offset = grad.storage_offset(),
          .version = version_of(grad)};
}

void ParameterWatch::remember_gradients() {
  for (std::size_t i = 0; i < active_.size(); ++i) {
    gradients_[i] = gradient_of(active_[i].tensor.grad());
  }
}

bool ParameterWatch::is_remembered(std::size_t parameter) const {
  const at::Tensor& grad = active_[parameter].tensor.grad();
  const Gradient& remembered = gradients_[parameter];
  return grad.defined() && grad.has_storage() && grad.storage_offset() == remembered.offset &&
         grad.storage().unsafeGetStorageImpl() == remembered.memory._unsafe_get_target();
}

bool ParameterWatch::is_left_over(std::size_t parameter) const {
  if (!is_remembered(parameter)) return false;
  const at::Tensor& grad = active_[parameter].tensor.grad();
  return version_of(grad) == gradients_[parameter].version || !holds_something(grad);
}

bool ParameterWatch::seems_written(std::size_t parameter) const {
  if (!is_remembered(parameter)) return false;
  const at::Tensor& grad = active_[parameter].tensor.grad();
  if (version_of(grad) == gradients_[parameter].version) return false;
  return grad.is_cpu() && grad.numel() > 0 && values_of(grad) != Values();
}

bool ParameterWatch::any_gradient() const {
  return std::any_of(active_.begin(), active_.end(), [](const NamedTensor& parameter) {
    return parameter.tensor.grad().defined();
  });
}

bool ParameterWatch::any_gradient_holds_something() const {
  return std::any_of(active_.begin(), active_.end(), [](const NamedTensor& parameter) {
    const at::Tensor& grad = parameter.tensor.grad();
    return grad.defined() && holds_something(grad);
  });
}

ParameterClaim::ParameterClaim(std::span<const NamedTensor> parameters) {
  Claims& all = claims();
  const std::lock_guard lock(all.mutex);
  std::set<const void*> own;
  for (const NamedTensor& parameter : parameters) {
    const void* const tensor = parameter.tensor.unsafeGetTensorImpl();
    if (all.tensors.contains(tensor)) {
      throw InputError(fmt::format(
          "parameter \"{}\" is wrapped by another DataParallel that still lives: wrap a module "
          "once, or let the other one go first",
          parameter.name));
    }
    if (own.insert(tensor).second) claimed_.push_back(parameter);
  }
  all.tensors.merge(own);
}

ParameterClaim::~ParameterClaim() {
  Claims& all = claims();
  const std::lock_guard lock(all.mutex);
  for (const NamedTensor& parameter : claimed_) {
    all.tensors.erase(parameter.tensor.unsafeGetTensorImpl());
  }
}

}  // namespace thaw
