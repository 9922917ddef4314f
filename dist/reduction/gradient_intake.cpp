#include "dist/reduction/gradient_intake.h"

#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <vector>

#include "core/base/error.h"
#include "dist/reduction/gradient_slot.h"

namespace thaw {

void check_share(SampleShare share) {
  if (share.total > 0 && share.samples >= 0 && share.samples <= share.total) return;
  throw RunError(fmt::format("a share of {} samples out of {}", share.samples, share.total));
}

void refuse_late_gradient(const std::string& parameter, const std::string& remedy) {
  throw RunError(fmt::format(
      "parameter \"{}\" got another gradient after its bucket was sent: backward ran again, or "
      "reached it twice (reentrant checkpoints do), after last_backward; {}",
      parameter, remedy));
}

void take_gradient(std::span<const NamedTensor> active, std::size_t parameter,
                   BucketProgress& progress, const PlaceOf& place_of) {
  at::Tensor& grad = active[parameter].tensor.mutable_grad();
  if (!grad.defined()) return;  // all its uses turned out not to reach the loss
  progress.mark_used(parameter, true);
  if (grad.layout() != at::kStrided) {
    throw RunError(fmt::format(
        "parameter \"{}\" got a sparse gradient; give it a dense one (an Embedding: build it with "
        "sparse = false), of which only the rows that were touched travel",
        active[parameter].name));
  }
  if (!grad.is_cuda()) put_into_slot(grad, place_of(parameter));
}

void settle_bucket(const Bucket& bucket, std::span<const NamedTensor> active,
                   BucketProgress& progress, const PlaceOf& place_of) {
  std::vector<SlotFill> fills;
  for (const BucketSlot& slot : bucket.slots) {
    at::Tensor& grad = active[slot.parameter].tensor.mutable_grad();
    const at::Tensor& place = place_of(slot.parameter);
    progress.mark_used(slot.parameter, grad.defined());
    if (grad.defined()) {
      fills.push_back({&grad, place});
    } else if (place.defined()) {
      const c10::AutoGradMode no_grad(false);
      place.zero_();
    }
  }
  put_into_slots(fills);
}

}  // namespace thaw
