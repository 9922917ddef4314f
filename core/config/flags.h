#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/config/setting.h"

namespace thaw {

struct Option;

/// Takes every `--section.key VALUE` and `--section.key=VALUE` out of a command line's arguments
/// and leaves the others in order: options of the subcommand have no dot in their names.
///
/// A boolean option may stand without a value, which means true. What follows `--` is left alone.
/// Whether the keys exist is found by `read_configuration`. Throws InputError where a value is
/// missing.
std::vector<Override> take_overrides(std::vector<std::string>& arguments);

/// The default as it would be typed: text without quotes; "" where there is none.
std::string typed_default(const Option& option);

/// Text for `--help-config`: each option of the configuration with type, unit and default, by
/// section. `words` are those that options may be which the table does not list, by the options'
/// names.
std::string configuration_help(const std::map<std::string, std::vector<std::string>>& words = {});

}  // namespace thaw
