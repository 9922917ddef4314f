#pragma once

#include <string>
#include <vector>

#include "core/base/progress/step_spans.h"

namespace thaw {

/// What one rank did, for a trace.
struct RankSpans {
  std::string host;
  std::vector<RecordedSpan> spans;  ///< by ascending begin, of one clock
};

/// The ranks side by side as JSON in Chrome's trace event format, which chrome://tracing and
/// Perfetto open: rank r is process r, a step one event, its phases events within it. Clocks are
/// taken to have begun at the same time. Pure.
std::string chrome_trace(const std::vector<RankSpans>& ranks);

/// A rank's spans as bytes, to be sent, and back. Throws InputError for what are none.
std::string spans_to_bytes(const RankSpans& rank);
RankSpans spans_from_bytes(const std::string& bytes);

}  // namespace thaw
