#include "core/step/timing/device_spans.h"

#include <utility>

namespace thaw {

DeviceSpans::DeviceSpans(MakeWorkMark make_mark) : make_mark_(std::move(make_mark)) {
  listen_to_spans(*this);
}

DeviceSpans::~DeviceSpans() { stop_listening(*this); }

/// Sets a further mark of the step and returns which.
std::size_t DeviceSpans::mark() {
  if (now_.used == now_.marks.size()) now_.marks.push_back(make_mark_());
  now_.whole = now_.marks[now_.used]->set() && now_.whole;
  return now_.used++;
}

void DeviceSpans::begin_step(std::int64_t step) {
  take_update(before_);
  std::swap(now_, before_);
  now_.number = step;
  now_.used = 0;
  now_.spans.clear();
  now_.end.reset();
  now_.whole = true;
  under_way_ = true;
  mark();
}

void DeviceSpans::end_step() {
  now_.end = mark();
  under_way_ = false;
}

/// A graph's time is what the whole step's tells.
bool DeviceSpans::is_marked(StepSpan span) const { return under_way_ && span != StepSpan::kGraph; }

void DeviceSpans::begin(StepSpan span) {
  if (is_marked(span)) open_ = mark();
}

void DeviceSpans::end(StepSpan span) noexcept {
  if (!is_marked(span)) return;
  try {
    const std::size_t last = mark();
    now_.spans.push_back({span, open_, last});
  } catch (...) {
    now_.whole = false;  // the step has no times; what is wrong, its work says
  }
}

/// Where the GPU has passed it.
void DeviceSpans::take_update(const Step& step) {
  if (!step.whole) return;
  for (const Span& each : step.spans) {
    if (each.span != StepSpan::kUpdate || !step.marks[each.end]->passed()) continue;
    update_seconds_ = step.marks[each.end]->seconds_since(*step.marks[each.begin]);
  }
}

std::optional<DeviceSpans::Figures> DeviceSpans::figures(std::int64_t number) {
  const Step& step = before_.number == number ? before_ : now_;
  if (step.number != number || !step.whole) return std::nullopt;
  take_update(before_);
  if (&step == &now_) take_update(now_);
  Figures figures;
  double seconds = 0;  // to the update
  for (const Span& each : step.spans) {
    if (each.span == StepSpan::kUpdate) continue;
    const WorkMark& last = *step.marks[each.end];
    if (!last.passed()) return std::nullopt;
    const double took = last.seconds_since(*step.marks[each.begin]);
    if (each.span == StepSpan::kData) figures.data += took;
    if (each.span == StepSpan::kReduction) figures.communication += took;
    if (each.span == StepSpan::kForward) figures.forward += took;
    if (each.span == StepSpan::kBackward) figures.backward += took;
    figures.queued = figures.queued || each.span == StepSpan::kForward;
    seconds = last.seconds_since(*step.marks.front());
  }
  if (step.end && step.marks[*step.end]->passed()) {
    figures.seconds = step.marks[*step.end]->seconds_since(*step.marks.front());
  } else if (figures.queued && update_seconds_) {
    figures.seconds = seconds + *update_seconds_;
  } else {
    return std::nullopt;
  }
  if (!update_seconds_) figures.queued = false;
  figures.optimizer = update_seconds_.value_or(0);
  return figures;
}

}  // namespace thaw
