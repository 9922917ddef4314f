#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace thaw {

class Communicator;
class StepMonitor;
struct RunSetup;

/// What a run is: all that decides what comes of it, besides its configuration.
struct RunIdentity {
  std::map<std::string, std::string> facts;  ///< by name; equal on all ranks
  std::string kept;                          ///< to be kept in the run folder: see KeptIdentity
};

/// A collective: finds it out, and makes sure that all ranks have the same. `kept` is the file of
/// the run folder, if it is there; rank 0 reads it. Nothing is written. Throws InputError on all
/// ranks where their data differ, saying in what and on which.
RunIdentity run_identity(const RunSetup& setup, const std::filesystem::path& kept,
                         Communicator& communicator, StepMonitor* monitor);

}  // namespace thaw
