#pragma once

#include <string>

namespace thaw {

/// The kind of CPU that this process runs on, as the system names it: maker, model, family. Kernels
/// are chosen by it, so two kinds may add up differently. "unknown" where the system does not say.
std::string processor_kind();

}  // namespace thaw
