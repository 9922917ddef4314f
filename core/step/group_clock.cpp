#include "core/step/group_clock.h"

#include <c10/core/GradMode.h>

#include <optional>
#include <utility>

#include "core/data/batch.h"
#include "core/models/model.h"
#include "core/step/prefix/prefix_source.h"

namespace thaw {

GroupClock::GroupClock(MakeWorkMark make_mark) : make_mark_(std::move(make_mark)) {}

GroupClock::Mark GroupClock::mark() {
  Mark mark = make_mark_();
  tells_ = mark->set() && tells_;
  return mark;
}

at::Tensor GroupClock::forward(Model& model, std::size_t cut, const Batch& batch,
                               const PrefixSource* source, const BeforeGroup& before) {
  const std::size_t groups = model.groups().size();
  seconds_.resize(groups, 0.0);
  forward_seconds_.resize(groups, 0.0);
  at_ = groups;
  at::Tensor hidden;
  std::size_t first = 0;
  // Groups whose output is known take no time.
  if (source != nullptr && source->boundary() <= cut && batch.size() > 0) {
    hidden = source->hidden(batch).to(batch.inputs.device());
    first = source->boundary();
  }
  Mark begin = mark();
  for (std::size_t group = first; group < groups; ++group) {
    std::optional<c10::AutoGradMode> no_grad;
    if (group < cut) no_grad.emplace(false);
    if (before) {
      before(group);
      begin = mark();
    }
    hidden = model.run(group, group + 1, hidden, batch);
    Mark end = mark();
    laps_.push_back({group, begin, end, /*forward=*/true});
    begin = std::move(end);
    tells_ = tells_ && hidden.defined();
    // The result's own gradient is where backward begins.
    if (group + 1 < groups && hidden.defined() && hidden.requires_grad()) {
      hidden.register_hook([this, group](const at::Tensor&) { passed(group); });
    }
  }
  return hidden;
}

/// The gradient of this group's output is there: what lies above is done.
void GroupClock::passed(std::size_t group) {
  Mark now = mark();
  if (at_ > group + 1) laps_.push_back({at_ - 1, last_, now, /*forward=*/false});
  last_ = std::move(now);
  at_ = group + 1;
}

void GroupClock::backward(const std::function<void()>& backward) {
  last_ = mark();
  backward();
  if (at_ > 0) laps_.push_back({at_ - 1, last_, mark(), /*forward=*/false});
}

const std::vector<double>& GroupClock::seconds() {
  if (!tells_) {
    seconds_.clear();
    forward_seconds_.clear();
  }
  // From the last one on: when a GPU has passed that, it has passed all.
  const std::vector<Lap> laps = std::exchange(laps_, {});
  for (auto lap = laps.rbegin(); tells_ && lap != laps.rend(); ++lap) {
    const double took = lap->end->seconds_since(*lap->begin);
    seconds_[lap->group] += took;
    if (lap->forward) forward_seconds_[lap->group] += took;
  }
  return seconds_;
}

const std::vector<double>& GroupClock::forward_seconds() {
  seconds();
  return forward_seconds_;
}

}  // namespace thaw
