#include "core/schedule/triggers/trigger.h"

namespace thaw {

#define THAW_TRIGGER(name) TriggerKind name##_trigger();
#include "core/schedule/triggers/triggers.inc"
#undef THAW_TRIGGER

const std::vector<TriggerKind>& trigger_kinds() {
  static const std::vector<TriggerKind> kinds = {
#define THAW_TRIGGER(name) name##_trigger(),
#include "core/schedule/triggers/triggers.inc"
#undef THAW_TRIGGER
  };
  return kinds;
}

bool equal(const Trigger& a, const Trigger& b) {
  return a.name() == b.name() && a.toml() == b.toml();
}

}  // namespace thaw
