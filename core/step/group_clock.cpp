#include "core/step/group_clock.h"

#include <c10/core/GradMode.h>

#include <optional>

#include "core/data/batch.h"
#include "core/models/model.h"
#include "core/step/prefix/prefix_source.h"

namespace thaw {

at::Tensor GroupClock::forward(Model& model, std::size_t cut, const Batch& batch,
                               const PrefixSource* source) {
  const std::size_t groups = model.groups().size();
  std::vector<double> seconds(groups, 0.0);
  cut_ = cut;
  at_ = groups;
  bool tells = true;
  at::Tensor hidden;
  std::size_t first = 0;
  // Groups whose output is known take no time.
  if (source != nullptr && source->boundary() <= cut && batch.size() > 0) {
    hidden = source->hidden(batch).to(batch.inputs.device());
    first = source->boundary();
  }
  for (std::size_t group = first; group < groups; ++group) {
    std::optional<c10::AutoGradMode> no_grad;
    if (group < cut) no_grad.emplace(false);
    const Stopwatch watch;
    hidden = model.run(group, group + 1, hidden, batch);
    seconds[group] = watch.seconds();
    tells = tells && hidden.defined();
    // The result's own gradient is where backward begins.
    if (group + 1 < groups && hidden.defined() && hidden.requires_grad()) {
      hidden.register_hook([this, group](const at::Tensor&) { passed(group); });
    }
  }
  if (!tells) {
    seconds_.clear();
    return hidden;
  }
  seconds_.resize(groups, 0.0);
  for (std::size_t group = 0; group < groups; ++group) seconds_[group] += seconds[group];
  return hidden;
}

/// The gradient of this group's output is there: what lies above is done.
void GroupClock::passed(std::size_t group) {
  if (seconds_.empty() || at_ <= group + 1) {
    watch_.lap();
  } else {
    seconds_[at_ - 1] += watch_.lap();
  }
  at_ = group + 1;
}

void GroupClock::backward(const std::function<void()>& backward) {
  watch_.lap();
  backward();
  if (!seconds_.empty() && at_ > 0) seconds_[at_ - 1] += watch_.lap();
}

}  // namespace thaw
