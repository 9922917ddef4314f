#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/data/activations/activation_file.h"

namespace thaw {

class Communicator;
class PrefixRunner;
class StepMonitor;

/// Files of activations as the ranks of a job share them. The ranks of a host make one together,
/// each some of the blocks; each host has its own. All calls are collectives over the job.
class PrefixFiles {
 public:
  /// Both are borrowed.
  PrefixFiles(Communicator& communicator, StepMonitor& monitor);
  ~PrefixFiles();

  /// The file, where each rank has it whole; nothing where one does not.
  std::optional<ActivationFile::Opened> open(const ActivationFile& file);

  /// What is to be made, of one split.
  struct Making {
    std::vector<const ActivationFile*> files = {};
    std::vector<std::size_t> boundaries = {};  ///< of each, ascending
    std::string folder;
    std::int64_t limit = 0;                ///< bytes of all files in it
    std::vector<std::string> needed = {};  ///< paths of others in it that are to stay
  };
  /// Makes those that are not there, or waits until another job has. Throws an agreed Error: no
  /// room.
  void make(const Making& making, const PrefixRunner& runner);

 private:
  Communicator& host();
  void make_on_host(const Making& making, const PrefixRunner& runner);
  std::vector<std::string> begin(const Making& making);
  void finish(std::span<const std::unique_ptr<UnfinishedActivations>> all);

  Communicator& communicator_;
  StepMonitor& monitor_;
  std::unique_ptr<Communicator> host_;  ///< the ranks of this host; null until it is needed
};

}  // namespace thaw
