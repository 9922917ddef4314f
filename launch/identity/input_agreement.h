#pragma once

#include <string>

#include "core/base/fact.h"

namespace thaw {

class Communicator;

/// A collective: returns where all ranks read the same. Else throws InputError on all of them: what
/// differs, its values, on which ranks and hosts, and `remedy`.
void agree_on_inputs(Communicator& communicator, const std::string& what, const Facts& facts,
                     const std::string& remedy);

/// A collective: returns where all ranks run the same program with the same LibTorch; else throws
/// DisagreementError on all of them, naming them and their hosts.
void agree_on_program(Communicator& communicator);

}  // namespace thaw
