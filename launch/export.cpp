#include <fmt/format.h>

#include "core/base/error.h"
#include "core/config/configuration_document.h"
#include "core/models/huggingface_export.h"
#include "core/models/model.h"
#include "core/models/registry.h"
#include "core/models/safetensors.h"
#include "core/models/weights.h"
#include "launch/arguments.h"
#include "launch/job.h"
#include "launch/subcommand.h"

namespace thaw {
namespace {

ArgumentParser make_parser() {
  ArgumentParser parser("export CONFIG.toml --weights FILE --format huggingface DIR",
                        "Writes trained weights as Hugging Face's transformers load them.");
  parser.positional("CONFIG", "the configuration file: its [model] counts");
  parser.positional("DIR", "the folder to write");
  parser.option("weights", "safetensors that thaw train wrote");
  parser.option("format", "huggingface", "huggingface");
  parser.takes_configuration();
  return parser;
}

ExitStatus export_weights(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = make_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  if (arguments["format"] != "huggingface") {
    throw InputError(fmt::format("--format {}: the formats are huggingface", arguments["format"]));
  }
  const ConfigurationDocument document =
      read_configuration(arguments["CONFIG"], arguments.overrides);
  ModelOptions options = document.configuration.model;
  if (!arguments["weights"].empty()) {
    options.weights = arguments["weights"];
  }
  options.head = "loaded";
  const SafetensorsFile file(options.weights);
  const std::vector<std::string> classes = saved_classes(file);
  if (classes.empty()) {
    throw InputError(
        fmt::format("{}: names no classes in its metadata; give weights that thaw train wrote",
                    options.weights));
  }
  const std::shared_ptr<Model> model =
      make_model(options, static_cast<std::int64_t>(classes.size()),
                 {.kind = InputFacts::Kind::kText}, /*seed=*/0);
  load_weights(*model, file, options);
  export_huggingface(arguments["DIR"], *model, options, classes);
  fmt::print("written to {}\n", arguments["DIR"]);
  return ExitStatus::kDone;
}

}  // namespace

int run_export(std::vector<std::string> arguments) {
  return run_alone([&] { return export_weights(arguments); });
}

}  // namespace thaw
