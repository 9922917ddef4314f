#include "core/base/progress/step_spans.h"

namespace thaw {
namespace {

const Stopwatch process_clock;
thread_local SpanSeconds spent{};
thread_local SpanRecorder* recorder = nullptr;
thread_local SpanListener* listener = nullptr;

}  // namespace

const char* name_of(StepSpan span) {
  constexpr std::array<const char*, kStepSpans> names = {"data",      "forward",   "backward",
                                                         "reduction", "optimizer", "graph"};
  return names[static_cast<std::size_t>(span)];
}

SpanTimer::SpanTimer(StepSpan span) : span_(span), began_(process_clock.seconds()) {
  if (span == StepSpan::kData && recorder != nullptr) ++recorder->step_;
  if (listener != nullptr) listener->begin(span);
}

SpanTimer::~SpanTimer() {
  if (listener != nullptr) listener->end(span_);
  const double seconds = process_clock.seconds() - began_;
  spent[static_cast<std::size_t>(span_)] += seconds;
  if (recorder != nullptr) {
    recorder->spans_.push_back(
        {span_, recorder->step_, recorder->clock_.seconds() - seconds, seconds});
  }
}

void listen_to_spans(SpanListener& of_this_thread) { listener = &of_this_thread; }
void stop_listening(const SpanListener& of_this_thread) {
  if (listener == &of_this_thread) listener = nullptr;
}

SpanSeconds take_span_seconds() {
  const SpanSeconds taken = spent;
  spent = {};
  return taken;
}

SpanRecorder::SpanRecorder(std::int64_t steps) : step_(steps) { recorder = this; }
SpanRecorder::~SpanRecorder() { recorder = nullptr; }

}  // namespace thaw
