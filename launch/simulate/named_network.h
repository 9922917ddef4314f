#pragma once

#include <string>

#include "dist/forecast/network.h"

namespace thaw {

/// The network that an option names: a file, "cluster/mine.toml" (it ends in .toml), or one of the
/// descriptions that come with Thaw, "ethernet-10g", which lie in the folder thaw-networks beside
/// this command or where it is installed. Throws InputError for what is wrong in the file, and for
/// a name that is none, with those that there are.
Network named_network(const std::string& option, const std::string& name);

}  // namespace thaw
