#include "dist/reduction/sharding/sliced_parameters.h"

#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "core/base/error.h"
#include "core/parallel/tensor_checks.h"

namespace thaw {

namespace {

/// Both of one dimension and one type.
void copy_elements(const at::Tensor& to, const at::Tensor& from, bool alone) {
  if (alone && to.is_cpu()) {
    std::memcpy(to.mutable_data_ptr(), from.const_data_ptr(), to.nbytes());
  } else {
    to.copy_(from);
  }
}

}  // namespace

SlicedParameters::SlicedParameters(const BucketMap& map, const SlicePlan& plan, int rank,
                                   std::span<const NamedTensor> active)
    : map_(map),
      plan_(plan),
      rank_(static_cast<std::size_t>(rank)),
      active_(active.begin(), active.end()) {
  for (std::size_t i = 0; i < active_.size(); ++i) {
    const Cuts& cuts = plan.parameter(i);
    slices_.push_back(
        {active_[i].name, cuts, flat(active_[i].tensor, cuts[rank_], cuts[rank_ + 1])});
  }
}

void SlicedParameters::hand_out(std::size_t parameter, const at::Tensor& slice) {
  const Cuts& own = plan_.parameter(parameter);
  const std::size_t bucket = map_.bucket_of(parameter);
  const std::int64_t length = own[rank_ + 1] - own[rank_];
  // Of one that is another rank's the place would lie outside of the slice.
  const std::int64_t first =
      length == 0 ? 0 : map_.slot_of(parameter).offset + own[rank_] - plan_.bucket(bucket)[rank_];
  slices_[parameter].part.mutable_grad() = flat(slice, first, first + length);
}

void SlicedParameters::drop_gradients() {
  for (const ParameterSlice& slice : slices_) slice.part.mutable_grad().reset();
}

std::vector<at::Tensor> SlicedParameters::gradients(std::span<const std::size_t> parameters) const {
  std::vector<at::Tensor> gradients;
  for (const std::size_t parameter : parameters) {
    const at::Tensor& gradient = slices_[parameter].part.grad();
    if (gradient.defined()) gradients.push_back(gradient);
  }
  return gradients;
}

void SlicedParameters::share(std::size_t bucket, const at::Tensor& slab, Communicator& communicator,
                             bool beside) {
  const c10::AutoGradMode no_grad(false);
  const std::vector<BucketSlot>& slots = map_.buckets()[bucket].slots;
  if (needs_slab(bucket)) {
    for (const BucketSlot& slot : slots) {
      const ParameterSlice& own = slices_[slot.parameter];
      if (own.part.numel() == 0) continue;
      copy_elements(slab.narrow(0, slot.offset + own.cuts[rank_], own.part.numel()), own.part,
                    beside);
    }
    communicator.start_all_gather(slab, plan_.bucket(bucket))->wait_on_stream();
    for (const BucketSlot& slot : slots) {
      const ParameterSlice& own = slices_[slot.parameter];
      const auto bring = [&](std::int64_t first, std::int64_t last) {
        if (first == last) return;
        copy_elements(flat(active_[slot.parameter].tensor, first, last),
                      slab.narrow(0, slot.offset + first, last - first), beside);
      };
      bring(0, own.cuts[rank_]);
      bring(own.cuts[rank_ + 1], slot.length);
    }
  } else {
    const std::size_t parameter = slots.front().parameter;
    communicator.start_all_gather(flat(active_[parameter].tensor), plan_.parameter(parameter))
        ->wait_on_stream();
  }
  // Written behind autograd's back, and a change all the same, for who looks whether there was one.
  for (const BucketSlot& slot : slots) {
    active_[slot.parameter].tensor.unsafeGetTensorImpl()->bump_version();
  }
}

void refuse_what_cannot_be_cut(std::span<const NamedTensor> active) {
  for (const NamedTensor& parameter : active) {
    const at::ScalarType type = parameter.tensor.scalar_type();
    const bool travels_as_it_is =
        type == at::kFloat || type == at::kDouble || type == at::kBFloat16;
    if (travels_as_it_is && parameter.tensor.is_contiguous()) continue;
    throw InputError(fmt::format(
        "distributed.sharding: parameter \"{}\" is {}{}; only float32, float64 and bfloat16 in "
        "row-major order can be cut into slices: set it to \"none\"",
        parameter.name, describe(parameter.tensor),
        parameter.tensor.is_contiguous() ? "" : ", in another order than row-major"));
  }
}

at::Tensor norm_over_slices(const std::vector<at::Tensor>& gradients, at::Device device,
                            Communicator& communicator) {
  const c10::AutoGradMode no_grad(false);
  at::Tensor squares = at::zeros({}, at::dtype(at::kDouble).device(device));
  if (!gradients.empty()) {
    squares = at::stack(at::_foreach_norm(gradients, 2)).to(at::kDouble).square().sum();
  }
  if (device.is_cuda()) {
    communicator.start_all_reduce(squares)->wait_on_stream();
    return squares.sqrt();
  }
  std::vector<double> sum = {squares.item<double>()};
  communicator.all_reduce(sum);
  return at::full({}, std::sqrt(sum[0]), at::dtype(at::kDouble));
}

}  // namespace thaw
