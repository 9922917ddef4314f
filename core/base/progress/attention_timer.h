#pragma once

#include "core/base/stopwatch.h"

namespace thaw {

/// While one lives, its thread computes attention by a kernel of Thaw's own, which LibTorch tells
/// no observer of. Two clock readings; never nested.
class AttentionTimer {
 public:
  AttentionTimer() = default;
  ~AttentionTimer();
  AttentionTimer(const AttentionTimer&) = delete;
  AttentionTimer& operator=(const AttentionTimer&) = delete;

 private:
  Stopwatch watch_;
};

/// That the calling thread has spent so, since it began: what takes the difference of two readings
/// knows what was spent between them.
double attention_seconds();

}  // namespace thaw
