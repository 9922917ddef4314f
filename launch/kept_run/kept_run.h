#pragma once

#include <string>
#include <vector>

#include "core/config/configuration_document.h"
#include "core/config/setting.h"
#include "core/record/run_folder.h"

namespace thaw {

class Communicator;

// Note [A run as an argument]
// Sub-commands that work on trained weights take a run's folder in place of a configuration. All
// that they need lies in it: config.resolved.toml, weights with what they say of themselves, and
// copies of config.json and tokenizer.json (launch/kept_run/model_files.h). Only data lie
// elsewhere.
//
// So a run is translated into what those sub-commands read anyhow: the path of its configuration,
// flags laid over it that say where its files lie now, and the weights. A flag of the user's that
// says otherwise than the run did is refused, but for those that only say where, how fast, or on
// which data something is computed.
//
// Paths in a configuration are relative to where training was started, which nobody wrote down and
// which may be on another machine. Each is looked for where one stands, then from the run's folder
// upwards: that finds them wherever a run was kept within the folder that it was started in, as
// runs/NAME is, and moved or copied together with it.

/// Whether `path` is a run's folder rather than a file or a checkpoint's.
bool is_run_folder(const std::string& path);

/// What a sub-command works on, as it reads it.
struct WorkSource {
  std::string configuration;        ///< path of the file
  std::vector<Override> overrides;  ///< to be laid over it, the user's among them
  std::string weights;              ///< a file, or a checkpoint's folder; "": as configured
  std::string run;                  ///< the run's folder; "" where a configuration was given
};

/// What of a run a sub-command needs besides network and weights.
struct RunNeeds {
  bool data = false;       ///< data.file
  bool tokenizer = false;  ///< also one that is not named, but lies beside weights or config.json
};

/// `path` is a configuration file, and then all is as it was given; or a run's folder: Note [A run
/// as an argument]. `weights` of a run: "best", "last", a file or a checkpoint's folder; "": the
/// best where there are such, else the last, else those of the newest good checkpoint. Throws
/// InputError for what the run does not have, and for flags that contradict it.
WorkSource work_source(const std::string& path, const std::vector<Override>& overrides,
                       const std::string& weights, RunNeeds needs = {});

/// The same as a collective: what rank 0 finds counts for all. Rank 0 tells on standard error which
/// of a run's weights are taken.
WorkSource work_source(const std::string& path, const std::vector<Override>& overrides,
                       const std::string& weights, RunNeeds needs, Communicator& communicator);

/// The configuration that a run was resolved to. Throws InputError where there is none.
ConfigurationDocument configuration_of(const RunFolder& run);

/// Tells people on standard error which weights of a run are taken; nothing of a configuration.
void tell_weights(const WorkSource& source);

}  // namespace thaw
