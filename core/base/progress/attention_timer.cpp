#include "core/base/progress/attention_timer.h"

namespace thaw {
namespace {

thread_local double spent_attending = 0;

}  // namespace

AttentionTimer::~AttentionTimer() { spent_attending += watch_.seconds(); }

double attention_seconds() { return spent_attending; }

}  // namespace thaw
