#include "launch/command/subcommand.h"

#include "launch/command/arguments.h"

namespace thaw {

const std::vector<Subcommand>& subcommands() {
  static const std::vector<Subcommand> all = {
      {"new", "writes a configuration to begin with, and the commands that follow", run_new,
       new_parser},
      {"train", "trains as a configuration says", run_train, train_parser},
      {"check", "validates a configuration, its data and weights, and prints the stages", run_check,
       check_parser},
      {"schedule", "writes a preset's stages out as TOML that can be edited", run_schedule,
       schedule_parser},
      {"compare", "trains with several schedules and tells which serves best", run_compare,
       compare_parser},
      {"evaluate", "measures weights on a split: one JSON line", run_evaluate, evaluate_parser},
      {"predict", "writes a JSON line for each text, image or sample of a split", run_predict,
       predict_parser},
      {"generate", "has a language model go on from a prompt", run_generate, generate_parser},
      {"inspect", "describes a dataset, a safetensors file, a run folder or a checkpoint",
       run_inspect, inspect_parser},
      {"diff", "tells what two runs differ in", run_diff, diff_parser},
      {"report", "makes one page of a run, or of several: what was learnt, and where time went",
       run_report, report_parser},
      {"export", "writes trained weights for others to load", run_export, export_parser},
      {"scale", "measures how step times follow the number of ranks", run_scale, scale_parser},
      {"doctor", "looks at what a job runs on, as its ranks find it", run_doctor, doctor_parser},
      {"launch", "starts mpirun, passes signals on, restarts after a failure", run_launch,
       launch_parser},
      {"completion", "prints what lets bash or zsh complete this command", run_completion,
       completion_parser},
      {"man", "prints the manual's page", run_man, man_parser},
  };
  return all;
}

}  // namespace thaw
