#pragma once

#include "core/kernels/activation_kind.h"

namespace thaw {

class ConfigFields;

/// The activation that a config.json's `key` names. Throws InputError for one that Thaw does not
/// have.
Activation read_activation(const ConfigFields& fields, const char* key, const char* fallback);

/// Its usual name.
const char* name_of(Activation activation);

}  // namespace thaw
