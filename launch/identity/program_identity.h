#pragma once

#include <string>

#include "core/base/fact.h"

namespace thaw {

/// What this process computes with, as facts: the version and build of this program, and of the
/// LibTorch that it runs with, which may be another than it was compiled against. A build is told
/// by the id that the linker put into each file as it was loaded.
Facts program_facts();

/// The subjects of these facts.
inline constexpr const char* kProgramSubject = "program";
inline constexpr const char* kTorchSubject = "LibTorch";

}  // namespace thaw
