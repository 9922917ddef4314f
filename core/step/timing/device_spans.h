#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/base/progress/step_spans.h"
#include "core/step/timing/work_mark.h"

namespace thaw {

/// What a step's time goes to on a GPU: marks its work where the spans of the host's thread begin
/// and end (see Note [Times of what is queued]). Listens on the thread that made it.
class DeviceSpans final : public SpanListener {
 public:
  explicit DeviceSpans(MakeWorkMark make_mark);
  ~DeviceSpans() override;
  DeviceSpans(const DeviceSpans&) = delete;
  DeviceSpans& operator=(const DeviceSpans&) = delete;

  /// Steps have numbers that grow. Those that nobody is told of need not be begun: a mark costs the
  /// host as much as a kernel.
  void begin_step(std::int64_t step);
  /// All of it has been queued.
  void end_step();

  /// Of one step.
  struct Figures {
    double seconds = 0;        ///< of the whole step, the waiting for data among them
    double data = 0;           ///< without work, since the host waits for the loader
    double communication = 0;  ///< exposed: backward had ended, and reduction had not
    bool queued = false;       ///< call by call, and not as one graph: what follows is known
    double forward = 0, backward = 0, optimizer = 0;
  };
  /// Of the last step or the one before, whose loss the host has read. Where its update has just
  /// been queued by then, the optimizer's time is that of the last one that is done, since waiting
  /// would leave the GPU without work. Nothing where the GPU has not passed the rest of the step,
  /// where a graph was captured in it, or before an update is done.
  std::optional<Figures> figures(std::int64_t step);

 private:
  struct Span {
    StepSpan span;
    std::size_t begin, end;  ///< of its marks
  };
  struct Step {
    std::int64_t number = -1;
    std::vector<std::unique_ptr<WorkMark>> marks;  ///< the first `used` are set
    std::size_t used = 0;
    std::vector<Span> spans;
    std::optional<std::size_t> end;  ///< the mark behind all of it
    bool whole = true;               ///< all marks could be set
  };

  /// Whether it is of a step that was begun, and a part of it.
  bool is_marked(StepSpan span) const;
  void begin(StepSpan span) override;
  void end(StepSpan span) noexcept override;
  std::size_t mark();
  void take_update(const Step& step);

  MakeWorkMark make_mark_;
  Step now_, before_;
  bool under_way_ = false;                ///< `now_` was begun and has not ended
  std::size_t open_ = 0;                  ///< the mark that the span under way began with
  std::optional<double> update_seconds_;  ///< of the last update that is done
};

}  // namespace thaw
