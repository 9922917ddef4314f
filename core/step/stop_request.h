#pragma once

#include <cstdint>

namespace thaw {

/// Why a run is to stop early. Signals come to one rank or to all, a stop file is seen by rank 0.
enum class StopReason : std::uint8_t { kNone, kSignal, kStopFile, kTimeLimit };

/// "a signal asked for it", as the end of a sentence.
const char* text_of(StopReason reason);

/// Asked once a step on every rank whether the run is to stop early. What one rank wants all ranks
/// do, at the same step, since they sum their answers.
class StopRequest {
 public:
  virtual ~StopRequest() = default;
  /// Quick. `seconds_to_save`: what saving is expected to take at most.
  virtual StopReason wanted(double seconds_to_save) = 0;
};

}  // namespace thaw
