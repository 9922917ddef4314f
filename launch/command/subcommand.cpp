#include "launch/command/subcommand.h"

namespace thaw {

const std::vector<Subcommand>& subcommands() {
  static const std::vector<Subcommand> all = {
      {"train", "trains as a configuration says", run_train},
      {"check", "validates a configuration, its data and weights, and prints the stages",
       run_check},
      {"schedule", "writes a preset's stages out as TOML that can be edited", run_schedule},
      {"compare", "trains with several schedules and tells which serves best", run_compare},
      {"evaluate", "measures weights on a split: one JSON line", run_evaluate},
      {"predict", "writes a JSON line for each sample of a split", run_predict},
      {"generate", "has a language model go on from a prompt", run_generate},
      {"inspect", "describes a dataset, a safetensors file, a run folder or a checkpoint",
       run_inspect},
      {"export", "writes trained weights for others to load", run_export},
      {"scale", "measures how step times follow the number of ranks", run_scale},
      {"doctor", "looks at what a job runs on, as its ranks find it", run_doctor},
      {"launch", "starts mpirun, passes signals on, restarts after a failure", run_launch},
  };
  return all;
}

}  // namespace thaw
