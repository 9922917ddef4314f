#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "core/base/stopwatch.h"
#include "core/data/dataset.h"
#include "core/measure/evaluator.h"
#include "core/models/model.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/tasks/task.h"
#include "core/train/boundary_measurements.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/job/job.h"
#include "launch/run/evaluation_setup.h"
#include "launch/run/file_deadline.h"
#include "launch/run/run_setup.h"

namespace thaw {

// `thaw evaluate`: one JSON line on standard output, which scripts rely on; everything else goes to
// standard error. All ranks compute, each its share of the split; rank 0 prints.
ArgumentParser evaluate_parser() {
  ArgumentParser parser(
      "evaluate CONFIG.toml|RUN [--weights FILE] [--split NAME] [--per-class FILE]",
      "Measures weights, head included, on a split; prints one JSON line. Runs on "
      "one rank or, under mpirun, on several.");
  parser.positional("CONFIG",
                    "the configuration file, of which [model] and [data] count, or a run's folder");
  parser.option("weights",
                "safetensors with a head, or a checkpoint's folder; of a run also best or last. "
                "Default: model.weights; of a run the best");
  parser.option("split", "train, validation or test", "test");
  parser.suggestions("split", {"train", "validation", "test"});
  parser.option("per-class",
                "writes a JSON line a class (samples, precision, recall, f1) to this file; - is "
                "standard output");
  parser.takes_configuration();
  return parser;
}

namespace {

ExitStatus evaluate_split(const std::vector<std::string>& command_line,
                          Communicator& communicator) {
  const bool first = communicator.rank() == 0;
  const std::optional<ArgumentParser::Parsed> parsed =
      evaluate_parser().parse(command_line, communicator);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  const std::string split = arguments["split"];
  FileDeadline files(communicator);
  const RunSetup setup =
      set_up(evaluation_request(arguments, split, files, communicator), communicator);
  setup.model->eval();
  const Stopwatch watch;
  const Configuration& configuration = setup.configuration();
  const Task& task = *setup.task;
  const Measurement sums =
      evaluate(*setup.model, *setup.dataset, split, task,
               evaluation_settings(configuration.data, configuration.train), communicator);
  agreed(communicator, [&] { require_finite_loss(sums, split); });
  if (!first) {
    return ExitStatus::kDone;
  }
  fmt::print("{}\n", json_text(evaluation_line(task, sums, split, watch.seconds())));
  if (!arguments["per-class"].empty()) {
    write_text(arguments["per-class"], task.details(sums));
  }
  return ExitStatus::kDone;
}

}  // namespace

int run_evaluate(std::vector<std::string> arguments) {
  return run_job(
      [&](Communicator& communicator) { return evaluate_split(arguments, communicator); });
}

}  // namespace thaw
