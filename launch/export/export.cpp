#include <fmt/format.h>

#include <filesystem>

#include "core/base/error.h"
#include "core/base/given_output.h"
#include "core/base/whole_file.h"
#include "core/config/configuration_document.h"
#include "core/models/model.h"
#include "core/models/registry.h"
#include "core/models/weights/weights.h"
#include "core/parallel/one_rank.h"
#include "core/tasks/registry.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/export/model_card.h"
#include "launch/job/job.h"
#include "launch/kept_run/kept_run.h"
#include "launch/run/file_deadline.h"
#include "launch/run/trained_weights.h"
#include "launch/run/weights_match.h"

namespace thaw {

// `thaw export`: weights for other programs. The model is built from [model] alone, without the
// data it was trained on: what the data told training (classes, input channels) stands in the
// weights. One process; writes one file or folder, which appears whole or not at all.
ArgumentParser export_parser() {
  ArgumentParser parser("export CONFIG.toml|RUN [--weights FILE] [--format NAME] PATH",
                        "Writes trained weights, or those of a checkpoint, for others to load.");
  parser.positional("CONFIG", "the configuration file, of which [model] counts, or a run's folder");
  parser.positional("PATH", "the folder, or the file, to write");
  parser.option("weights",
                "safetensors that thaw train wrote, or a checkpoint's folder; of a run also best "
                "or last. Default: model.weights; of a run the best");
  parser.option("format",
                "huggingface: a folder that transformers load, with a model card; safetensors: a "
                "file under the names "
                "that the weights were loaded with",
                "huggingface");
  parser.choices("format", {"huggingface", "safetensors"});
  parser.takes_configuration();
  return parser;
}

namespace {

/// A model with its trained weights.
struct Source {
  std::shared_ptr<Model> model;
  ModelDescription description;
  WeightNames names;
};

/// Builds the model and fills it, from a file or a checkpoint's folder, as the weights and
/// `document`, which is made to agree with them, say. Throws InputError where they are not what
/// training wrote, or of another model.
Source read_source(ConfigurationDocument& document) {
  const ModelOptions& options = document.configuration.model;
  const TrainedWeights weights(options.weights, options.head);
  adopt_options(document, weights);
  Source source;
  source.description = weights.description();
  const OutputRows rows = output_rows_of(source.description.task);
  if (!source.description.one_class_a_sample && rows != OutputRows::kNextTokens) {
    throw InputError(fmt::format(
        "{}: names no classes in its metadata{}; give weights that thaw train wrote, of a "
        "classification, of samples or tokens, or of a language model: those of other tasks are "
        "not "
        "exported so far",
        options.weights,
        source.description.task.empty() ? "" : ", being of a " + source.description.task));
  }
  InputFacts input = trained_on(
      options.architecture, [&](const std::string& weight) { return weights.shape_of(weight); });
  input.rows = rows;
  const auto classes = static_cast<std::int64_t>(source.description.classes.size());
  source.model = make_model(options, classes > 0 ? classes : source.description.outputs, input,
                            /*seed=*/0);
  check_settings(*source.model, weights, WeightsRole::kOwn);
  if (document.configuration.train.precision == Precision::kFloat64) {
    source.model->to(at::kDouble);
  }
  source.names = weights.load(*source.model, options).names;
  return source;
}

ExitStatus export_weights(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = export_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  const std::string format = arguments["format"];
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  FileDeadline files(*alone);
  const WorkSource work = work_source(arguments["CONFIG"], arguments.overrides,
                                      arguments["weights"], {.tokenizer = true});
  tell_weights(work);
  ConfigurationDocument document = read_configuration(work.configuration, work.overrides);
  files.set(document.configuration.distributed.hang_deadline);
  ModelOptions& options = document.configuration.model;
  if (!work.weights.empty()) options.weights = work.weights;
  options.head = HeadSource::kLoaded;
  located_errors(document, [&] { settle_architecture(options); });
  const Source source = located_errors(document, [&] { return read_source(document); });
  if (is_written_through(arguments["PATH"])) {
    throw InputError(fmt::format("{}: is a pipe or a device; weights are written to a plain file",
                                 arguments["PATH"]));
  }
  std::string advice;
  if (format == "safetensors") {
    save_weights(arguments["PATH"], *source.model, source.names, source.description);
  } else {
    const std::filesystem::path card = std::filesystem::path(arguments["PATH"]) / "README.md";
    if (std::filesystem::exists(card)) {
      throw InputError(
          fmt::format("{}: is there already; name another folder, or remove it", card.string()));
    }
    std::optional<TrainedRun> run = run_behind(options.weights);
    advice = export_huggingface(arguments["PATH"], *source.model, options, source.description);
    write_whole_file(card, model_card_of(arguments["PATH"], std::move(run), source.description));
  }
  fmt::print("written to {}\n{}", arguments["PATH"], advice);
  return ExitStatus::kDone;
}

}  // namespace

int run_export(std::vector<std::string> arguments) {
  return run_alone([&] { return export_weights(arguments); });
}

}  // namespace thaw
