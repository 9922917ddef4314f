#pragma once

#include <array>
#include <string_view>

namespace thaw {

/// What is learnt: a line of core/config/tasks.inc each, behind "auto", what the data says. The
/// list stands here, below the tasks themselves, since --help and errors need no more of them.
enum class TaskKind {
  kAuto,
#define THAW_TASK(type, room, name) k##type,
#include "core/config/tasks.inc"
#undef THAW_TASK
};

inline constexpr auto kTaskNames = std::to_array<std::string_view>({
    "auto",
#define THAW_TASK(type, room, name) name,
#include "core/config/tasks.inc"
#undef THAW_TASK
});
constexpr auto names_of(TaskKind) { return kTaskNames; }

}  // namespace thaw
