#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/stopwatch.h"

namespace thaw {

/// What a step's time goes to on the training thread. kGraph: all that stands behind data, where it
/// is queued at once (Note [Captured steps]).
enum class StepSpan : std::uint8_t { kData, kForward, kBackward, kReduction, kUpdate, kGraph };
constexpr std::size_t kStepSpans = 6;
/// "data", "forward", …
const char* name_of(StepSpan span);

/// Seconds of each kind.
using SpanSeconds = std::array<double, kStepSpans>;
inline double seconds_in(const SpanSeconds& seconds, StepSpan span) {
  return seconds[static_cast<std::size_t>(span)];
}

/// Hears where the spans of a thread begin and end, on that thread: what looks at another clock
/// than the host's (a GPU's).
class SpanListener {
 public:
  virtual ~SpanListener() = default;
  virtual void begin(StepSpan span) = 0;
  /// While an error unwinds, too.
  virtual void end(StepSpan span) noexcept = 0;
};

/// To those of the calling thread from now on, in the place of who did before.
void listen_to_spans(SpanListener& listener);
/// Nothing where it is not the one that listens.
void stop_listening(const SpanListener& listener);

/// While one lives, its thread spends its time on this. Two clock readings; never nested. What a
/// GPU computes is queued meanwhile: of that, these are not the times.
class SpanTimer {
 public:
  explicit SpanTimer(StepSpan span);
  ~SpanTimer();
  SpanTimer(const SpanTimer&) = delete;
  SpanTimer& operator=(const SpanTimer&) = delete;

 private:
  StepSpan span_;
  double began_;
};

/// Of the calling thread since it asked the last time.
SpanSeconds take_span_seconds();

/// One span as it happened.
struct RecordedSpan {
  StepSpan span = StepSpan::kData;
  std::int64_t step = 0;          ///< of the run, from 1
  double begin = 0, seconds = 0;  ///< of the recorder's clock
};

/// Keeps the spans of its thread's steps while it lives; one at a time a thread.
class SpanRecorder {
 public:
  /// `steps`: of the run, that are committed already. Its clock stands at 0 now.
  explicit SpanRecorder(std::int64_t steps);
  ~SpanRecorder();
  SpanRecorder(const SpanRecorder&) = delete;
  SpanRecorder& operator=(const SpanRecorder&) = delete;

  const std::vector<RecordedSpan>& spans() const { return spans_; }

 private:
  friend class SpanTimer;
  Stopwatch clock_;
  std::int64_t step_;  ///< that is under way: each begins with its data
  std::vector<RecordedSpan> spans_;
};

}  // namespace thaw
