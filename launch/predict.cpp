#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <sstream>

#include "core/base/error.h"
#include "core/base/given_output.h"
#include "core/config/configuration_document.h"
#include "core/data/dataset.h"
#include "core/measure/evaluator.h"
#include "core/models/family.h"
#include "core/models/model.h"
#include "core/parallel/one_rank.h"
#include "core/tasks/task.h"
#include "core/train/boundary_measurements.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/generate/prompt_tokens.h"
#include "launch/job/job.h"
#include "launch/kept_run/kept_run.h"
#include "launch/predict/given_samples.h"
#include "launch/run/evaluation_setup.h"
#include "launch/run/file_deadline.h"
#include "launch/run/run_setup.h"
#include "launch/run/trained_weights.h"

namespace thaw {

// `thaw predict`: a JSON line a sample, on one process: of a split, in its own order, or of samples
// that are handed over as they are, which launch/predict makes a split of. Text goes out batch by
// batch, so a split of any size fits in memory.
ArgumentParser predict_parser() {
  ArgumentParser parser(
      "predict CONFIG.toml|RUN [--text TEXT | --file FILE | --images FILE... | --split NAME]",
      "Writes a JSON line for each sample: its index, the text or the file where such are given, "
      "and what its task predicts: a class and the probability of each, numbers, the class of each "
      "word or token, the loss of what follows a prompt.");
  parser.positional("CONFIG",
                    "the configuration file, of which [model] and [data] count, or a run's folder");
  parser.option("weights",
                "safetensors with a head, or a checkpoint's folder; of a run also best or last. "
                "Default: model.weights; of a run the best");
  parser.list("text", "a text; may be given several times");
  parser.list("text-pair", "the second text of a pair: one for each --text, in the same order");
  parser.option("file",
                "texts in a table (.csv, .tsv, .jsonl) or a text a line (.txt); - is standard "
                "input: JSON lines or lines of text");
  parser.option("text-column", "of --file; default: text");
  parser.option("pair-column", "of --file, the second text of a pair; default: text_pair");
  parser.list("images", "image files, and folders of them", /*several=*/true);
  parser.option("split", "train, validation or test of the data file; default: test");
  parser.suggestions("split", {"train", "validation", "test"});
  parser.option("output", "file to write, all or nothing; - is standard output", "-");
  parser.takes_configuration();
  return parser;
}

namespace {

/// Takes text piece by piece; a file appears whole at `finish` or not at all.
class LineSink {
 public:
  explicit LineSink(const std::string& path) {
    if (path != "-") file_.emplace(path);
  }
  void write(const std::string& text) {
    if (file_) {
      file_->write(text);
    } else {
      fmt::print("{}", text);
    }
  }
  void finish() {
    if (file_) file_->commit();
  }

 private:
  std::optional<GivenOutput> file_;
};

/// The sample that a row of outputs belongs to.
std::int64_t sample_of_row(std::int64_t row, OutputRows rows, const Batch& batch) {
  if (rows != OutputRows::kTokens) return batch.samples[static_cast<std::size_t>(row)];
  const auto* offsets = batch.offsets.const_data_ptr<std::int64_t>();
  const auto* after = std::upper_bound(offsets, offsets + batch.offsets.numel(), row);
  return batch.samples[static_cast<std::size_t>(after - offsets - 1)];
}

/// No class is said where the model's outputs are no numbers.
void require_numbers(const at::Tensor& outputs, OutputRows rows, const Batch& batch) {
  const at::Tensor bad = outputs.isfinite().logical_not().flatten(1).any(1);
  if (!bad.any().item<bool>()) return;
  const auto row = bad.to(at::kByte).argmax().item<std::int64_t>();
  throw RunError(
      fmt::format("the model's outputs for sample {} are no numbers: its weights or the "
                  "sample make it",
                  sample_of_row(row, rows, batch)));
}

GivenSamples given_samples(const ArgumentParser::Parsed& arguments) {
  GivenSamples given{.texts = arguments.all("text"),
                     .pairs = arguments.all("text-pair"),
                     .file = arguments["file"],
                     .text_column = arguments["text-column"],
                     .pair_column = arguments["pair-column"],
                     .images = arguments.all("images")};
  check_given(given);
  if (given.any() && !arguments["split"].empty()) {
    throw InputError(
        "command line: --split is one of the data file's: leave it out, or the samples");
  }
  return given;
}

/// Given samples as a data file, prepared for the weights that are named.
std::unique_ptr<PreparedSamples> prepare_samples(const GivenSamples& given,
                                                 const WorkSource& source) {
  ConfigurationDocument document = read_configuration(source.configuration, source.overrides);
  ModelOptions& options = document.configuration.model;
  if (!source.weights.empty()) options.weights = source.weights;
  if (options.weights.empty()) {
    throw InputError("model.weights: names none; name trained ones, or give --weights");
  }
  return located_errors(document, [&] {
    const TrainedWeights weights(options.weights, HeadSource::kLoaded);
    check_predicts(given, weights.description(), options.weights);
    std::string tokenizer;
    if (given.images.empty()) {
      tokenizer = find_tokenizer(options).string();
      check_tokenizer_file(tokenizer, weights.description(), options.weights);
    }
    return std::make_unique<PreparedSamples>(given, weights.description(), tokenizer);
  });
}

/// What is set up for given samples: their own data file in the place of the configuration's.
SetupRequest request_for(const PreparedSamples& samples, const WorkSource& source,
                         FileDeadline& files) {
  SetupRequest request{source.configuration, source.overrides, source.weights, {"test"}};
  request.overrides.push_back({"data.file", toml_text(OptionValue(std::vector{samples.file()}))});
  request.loaded_head = true;
  request.configured = files.by_configuration();
  return request;
}

/// Each line of a task's predictions with the sample that it is of.
std::string with_samples(const std::string& predictions, const PreparedSamples& samples) {
  std::string text;
  std::istringstream lines(predictions);
  for (std::string line; std::getline(lines, line);) text += samples.line(line);
  return text;
}

ExitStatus predict(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = predict_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  const GivenSamples given = given_samples(arguments);
  const std::string split = arguments["split"].empty() ? "test" : arguments["split"];
  FileDeadline files(*alone);
  std::unique_ptr<PreparedSamples> samples;
  SetupRequest request;
  if (given.any()) {
    const WorkSource source = work_source(arguments["CONFIG"], arguments.overrides,
                                          arguments["weights"], {.tokenizer = true});
    tell_weights(source);
    samples = prepare_samples(given, source);
    request = request_for(*samples, source, files);
  } else {
    request = evaluation_request(arguments, split, files, *alone);
  }
  request.labels_unused = true;
  const RunSetup setup = set_up(request, *alone);
  setup.model->eval();
  LineSink sink(arguments["output"]);
  const Configuration& configuration = setup.configuration();
  for_each_prediction(*setup.model, *setup.dataset, split,
                      evaluation_settings(configuration.data, configuration.train), /*rank=*/0,
                      /*ranks=*/1, [&](const Batch& batch, const at::Tensor& outputs) {
                        require_numbers(outputs, setup.task->output_rows(), batch);
                        const std::string lines = setup.task->predictions(outputs, batch);
                        sink.write(samples ? with_samples(lines, *samples) : lines);
                      });
  sink.finish();
  const std::string cut = samples ? samples->cut_note() : "";
  if (!cut.empty()) fmt::print(stderr, "thaw: note: {}\n", cut);
  return ExitStatus::kDone;
}

}  // namespace

int run_predict(std::vector<std::string> arguments) {
  const std::optional<ArgumentParser::Parsed> parsed = predict_parser().peek(arguments);
  const bool own_file = parsed && !(*parsed)["output"].empty() && (*parsed)["output"] != "-";
  const auto body = [&] { return predict(arguments); };
  return own_file ? run_in_each(body) : run_alone(body);
}

}  // namespace thaw
