#pragma once

#include <string>

#include "dist/forecast/network.h"

namespace thaw {

/// The network that the file `path` describes. Throws InputError with a line for each thing that is
/// wrong: file, line, key and what is allowed there.
Network read_network(const std::string& path);

/// The same of the text of a file; `path` names it in messages.
Network network_of_text(const std::string& text, const std::string& path);

}  // namespace thaw
