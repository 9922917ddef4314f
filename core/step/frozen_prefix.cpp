#include "core/step/frozen_prefix.h"

#include <c10/core/GradMode.h>

#include "core/data/batch.h"
#include "core/models/model.h"

namespace thaw {

at::Tensor forward_past_prefix(Model& model, std::size_t cut, const Batch& batch) {
  at::Tensor hidden;
  if (cut > 0) {
    const c10::AutoGradMode no_grad(false);
    hidden = model.run(0, cut, hidden, batch);
  }
  const std::size_t groups = model.groups().size();
  return cut < groups ? model.run(cut, groups, hidden, batch) : hidden;
}

}  // namespace thaw
