#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/fact.h"
#include "core/config/configuration_document.h"
#include "core/schedule/schedule.h"
#include "dist/communicator/host_topology.h"

namespace thaw {

class Communicator;
class Dataset;
class Model;
class StepMonitor;
class Task;

/// Everything that a configuration names, read and checked against each other.
struct RunSetup {
  ConfigurationDocument document;
  HostTopology topology;
  std::optional<int> gpu;                           ///< this rank's; nothing: the CPU
  std::shared_ptr<Dataset> dataset;                 ///< its splits are prepared
  std::vector<std::string> splits;                  ///< those of them that will be read
  std::shared_ptr<const Task> task;                 ///< that is learnt
  std::shared_ptr<Model> model;                     ///< loaded, on `gpu`, equal on all ranks
  std::map<std::string, std::string> weight_names;  ///< to save under: see WeightNames
  Facts model_identity;  ///< config.json, the network, its weights as they were read

  const Configuration& configuration() const { return document.configuration; }
  std::vector<std::string> group_names() const;
  /// What else schedules may call them.
  std::map<std::string, std::string> group_aliases() const;
};

/// What `set_up` is asked for.
struct SetupRequest {
  std::string path;  ///< of the configuration file
  std::vector<Override> overrides = {};
  std::string weights = {};              ///< instead of `model.weights`, if not empty
  std::vector<std::string> splits = {};  ///< to be made readable; empty: train and validation
  std::vector<std::string> splits_if_any = {};  ///< likewise, where the data has them
  bool loaded_head = false;    ///< the head comes from the weights, whatever `model.head` says
  bool source_task = false;    ///< it is what `[retention]` names, not the run's own
  bool labels_unused = false;  ///< nothing depends on the data's labels
  /// Called on all ranks when the configuration is known and the rest is still to come. May be
  /// empty.
  std::function<void(const Configuration&)> configured = {};
  StepMonitor* monitor = nullptr;  ///< hears that reading goes on; may be null
};

/// Reads configuration, data and weights on all ranks. A collective.
///
/// The configuration is read on rank 0 and told to the others. Whatever is wrong, also on one host
/// only, is thrown on all ranks as one error; nothing has been written then. So is what differs
/// from rank to rank: InputError for options, config.json, weights and labels (not yet for what
/// samples hold: see run_identity), DisagreementError for the program itself.
RunSetup set_up(const SetupRequest& request, Communicator& communicator);

/// What `[retention]` names: the source task's data and, on the run's own architecture and device,
/// its network with its head. A collective; throws as `set_up` does. `setup` is the run's.
RunSetup set_up_source_task(const RunSetup& setup, Communicator& communicator);

/// The communicator for the tensors of a set-up run, where they do not travel over `world` (see
/// make_tensor_communicator); else null. A collective.
std::unique_ptr<Communicator> tensor_communicator(const RunSetup& setup, Communicator& world);

/// The schedule of a set-up run, which its way to sum gradients can serve; as `resolve_schedule`
/// and `check_reduction`, agreed over the ranks.
Schedule agreed_schedule(const RunSetup& setup, Communicator& communicator);

}  // namespace thaw
