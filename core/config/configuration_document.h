#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/config/setting.h"

namespace thaw {

/// A configuration file as read, with the command line's flags laid over it. Its schedule is not
/// resolved yet, since that takes the model's groups: see core/schedule/resolve_schedule.h.
struct ConfigurationDocument {
  std::string path;  ///< of the file, as it was given
  Configuration configuration;
  ScheduleOptions schedule;     ///< `[schedule]` but for its stages
  std::vector<Setting> stages;  ///< `[[schedule.stage]]` as written
  /// `[schedule]`'s tables `curve`, `until` and `policy`: what each of a preset's stages has.
  std::vector<Setting::Entry> stage_tables;
  /// The flags `schedule.stage.NAME.KEY`, and for such tables `schedule.curve.KEY`, in order.
  std::vector<Override> stage_overrides;
  std::map<std::string, Location, std::less<>> given;  ///< each option set, as "section.key"

  /// Start of a message about an option whose value turns out to be wrong later:
  /// "configs/a.toml:3: model.depth", "command line: --model.depth", or, where the option was left
  /// at its default, "configs/a.toml: model.depth".
  std::string where(std::string_view option) const;

  /// The message of an error found later, with `where` it belongs in front if it begins with the
  /// name of an option: "model.depth: there is no ..." becomes "configs/a.toml:3: model.depth:
  /// ...".
  std::string located(const std::string& message) const;
};

/// Calls `body`; an InputError that begins with an option's name gets the option's place, and stays
/// agreed.
template <class Body>
auto located_errors(const ConfigurationDocument& document, Body&& body) {
  try {
    return body();
  } catch (const InputError& error) {
    InputError located(document.located(error.what()));
    if (error.agreed()) located.mark_agreed();
    throw located;
  }
}

/// The text of the configuration file at `path`. Throws InputError where it cannot be read or is
/// no such file by its size.
std::string read_configuration_text(const std::string& path);

/// Reads the configuration file at `path` and lays `overrides` over it.
///
/// Throws InputError that lists everything wrong with file and flags, a line each:
/// `configs/a.toml:14: train.bathc: unknown key; did you mean "batch"?`.
ConfigurationDocument read_configuration(const std::string& path,
                                         const std::vector<Override>& overrides = {});

/// The same for text that is already in memory; messages call it `path`.
ConfigurationDocument parse_configuration(std::string_view text, const std::string& path,
                                          const std::vector<Override>& overrides = {});

/// The same for a program that has its own model and data: what a file must say about those
/// (`model.architecture`, `data.file`) may be left out.
ConfigurationDocument parse_partial_configuration(std::string_view text, const std::string& path);

}  // namespace thaw
