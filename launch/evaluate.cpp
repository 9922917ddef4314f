#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/stopwatch.h"
#include "core/data/dataset.h"
#include "core/measure/evaluator.h"
#include "core/models/model.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/job/job.h"
#include "launch/run/evaluation_setup.h"
#include "launch/run/run_setup.h"

namespace thaw {
namespace {

// `thaw evaluate`: one JSON line on standard output, which scripts rely on; everything else goes to
// standard error. All ranks compute, each its share of the split; rank 0 prints.
ArgumentParser evaluate_parser() {
  ArgumentParser parser(
      "evaluate CONFIG.toml --weights FILE --split NAME [--per-class FILE]",
      "Measures weights, head included, on a split; prints one JSON line. Runs on "
      "one rank or, under mpirun, on several.");
  parser.positional("CONFIG", "the configuration file: its [model] and [data] count");
  parser.option("weights", "safetensors with a head; default: model.weights");
  parser.option("split", "train, validation or test", "test");
  parser.option("per-class",
                "writes a JSON line a class (samples, precision, recall, f1) to this file; - is "
                "standard output");
  parser.takes_configuration();
  return parser;
}

/// The line. `seconds`: of measuring alone, without the set-up.
nlohmann::ordered_json figures(const ClassCounts& counts, const std::string& split,
                               double seconds) {
  return {{"split", split},
          {"loss", counts.mean_loss()},
          {"accuracy", counts.accuracy()},
          {"macro_f1", counts.macro_f1()},
          {"samples", counts.samples()},
          {"seconds", seconds}};
}

/// A line a class, in the order of the data's classes.
std::string class_lines(const ClassCounts& counts, const std::vector<std::string>& names) {
  std::string lines;
  const std::vector<ClassCounts::Row> rows = counts.rows();
  for (std::size_t c = 0; c < rows.size(); ++c) {
    lines += nlohmann::ordered_json{{"class", names[c]},
                                    {"samples", rows[c].samples},
                                    {"precision", rows[c].precision},
                                    {"recall", rows[c].recall},
                                    {"f1", rows[c].f1}}
                 .dump() +
             "\n";
  }
  return lines;
}

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
  const RunSetup setup = set_up(evaluation_request(arguments, split), communicator);
  setup.model->eval();
  const Stopwatch watch;
  const Configuration& configuration = setup.configuration();
  const ClassCounts counts = evaluate(*setup.model, *setup.dataset, split,
                                      evaluation_settings(configuration), communicator);
  if (!first) {
    return ExitStatus::kDone;
  }
  fmt::print("{}\n", figures(counts, split, watch.seconds()).dump());
  if (!arguments["per-class"].empty()) {
    write_text(arguments["per-class"], class_lines(counts, setup.dataset->classes()));
  }
  return ExitStatus::kDone;
}

}  // namespace

int run_evaluate(std::vector<std::string> arguments) {
  return run_job(
      [&](Communicator& communicator) { return evaluate_split(arguments, communicator); });
}

}  // namespace thaw
