#include "core/step/frozen_prefix.h"

#include <c10/core/GradMode.h>

#include "core/data/batch.h"
#include "core/models/model.h"
#include "core/step/prefix/prefix_source.h"

namespace thaw {

at::Tensor forward_past_prefix(Model& model, std::size_t cut, const Batch& batch,
                               const PrefixSource* source, const BeforeGroup& before) {
  at::Tensor hidden;
  std::size_t first = 0;
  // No source knows samples that are none.
  if (source != nullptr && source->boundary() <= cut && batch.size() > 0) {
    hidden = source->hidden(batch).to(batch.inputs.device());
    first = source->boundary();
  }
  const std::size_t groups = model.groups().size();
  for (std::size_t group = first; before && group < groups; ++group) {
    before(group);
    const c10::AutoGradMode grad(group >= cut && c10::GradMode::is_enabled());
    hidden = model.run(group, group + 1, hidden, batch);
  }
  if (before) return hidden;
  if (cut > first) {
    const c10::AutoGradMode no_grad(false);
    hidden = model.run(first, cut, hidden, batch);
  }
  return cut < groups ? model.run(cut, groups, hidden, batch) : hidden;
}

}  // namespace thaw
