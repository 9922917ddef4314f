#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "core/base/text_bytes.h"
#include "core/config/configuration_document.h"
#include "core/models/decoder/decoder.h"
#include "core/models/registry.h"
#include "core/models/weights/weights.h"
#include "core/record/run_folder.h"
#include "core/step/trainable.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/generate/generation.h"
#include "launch/job/job.h"
#include "launch/kept_run/kept_run.h"
#include "launch/run/trained_weights.h"
#include "launch/run/weights_match.h"

namespace thaw {

// `thaw generate`: a language model goes on from a prompt, on one process and the CPU. The model is
// built from [model] and the weights alone, without the data it was trained on.
ArgumentParser generate_parser() {
  ArgumentParser parser("generate CONFIG.toml|RUN --prompt TEXT [--weights FILE]",
                        "Has a language model go on from a prompt, and prints what it writes as "
                        "it comes, up to the end token.");
  parser.positional("CONFIG", "the configuration file, of which [model] counts, or a run's folder");
  parser.option("weights",
                "safetensors or a checkpoint's folder; of a run also best or last. Default: "
                "model.weights; of a run the best");
  parser.option("prompt", "the text to go on from");
  parser.option("chat", "true: the prompt is a user's message, written as the chat template says",
                "false");
  parser.choices("chat", {"true", "false"});
  parser.option("max-tokens", "[tokens] most that are written", "256");
  parser.option("temperature",
                "of the draws: probabilities are raised to 1 over it; 0: always the "
                "most likely token",
                "0");
  parser.option("top-p", "draws among the most likely tokens that have this share together", "1");
  parser.option("seed", "of the draws", "0");
  parser.takes_configuration();
  return parser;
}

namespace {

GenerationOptions options_of(const ArgumentParser::Parsed& arguments) {
  GenerationOptions options;
  options.most_tokens = whole_number_of("--max-tokens", arguments["max-tokens"], 1, 1 << 24);
  const std::string temperature = arguments["temperature"];
  if (temperature != "0") {
    options.sampling.temperature = positive_number_of("--temperature", temperature, 1e3);
  }
  options.sampling.top_p = positive_number_of("--top-p", arguments["top-p"], 1);
  options.sampling.seed = static_cast<std::uint64_t>(
      whole_number_of("--seed", arguments["seed"], 0, std::numeric_limits<std::int64_t>::max()));
  return options;
}

/// The configuration, with the weights that are to be read.
ConfigurationDocument document_of(const ArgumentParser::Parsed& arguments) {
  const WorkSource work = work_source(arguments["CONFIG"], arguments.overrides,
                                      arguments["weights"], {.tokenizer = true});
  tell_weights(work);
  ConfigurationDocument document = read_configuration(work.configuration, work.overrides);
  ModelOptions& options = document.configuration.model;
  if (!work.weights.empty()) options.weights = work.weights;
  if (options.weights.empty()) {
    throw InputError("model.weights: names none; name trained ones, or give --weights");
  }
  options.head = HeadSource::kLoaded;
  return document;
}

std::shared_ptr<Decoder> read_model(ConfigurationDocument& document, const PromptTokens& tokens) {
  ModelOptions& options = document.configuration.model;
  settle_architecture(options);
  const TrainedWeights weights(options.weights, options.head);
  adopt_options(document, weights);
  check_tokenizer(tokens, weights.description().tokens, options.weights);
  InputFacts input = trained_on(
      options.architecture, [&](const std::string& weight) { return weights.shape_of(weight); });
  input.kind = InputFacts::Kind::kText;
  input.rows = OutputRows::kNextTokens;
  const std::shared_ptr<Model> model = make_model(options, /*classes=*/2, input, /*seed=*/0);
  const auto decoder = std::dynamic_pointer_cast<Decoder>(model);
  if (!decoder) {
    throw InputError(
        fmt::format("model.architecture = \"{}\" is no language model", options.architecture));
  }
  check_settings(*model, weights, WeightsRole::kOwn);
  const Precision precision = document.configuration.train.precision;
  if (precision == Precision::kFloat64) {
    model->to(at::kDouble);
  } else if (precision == Precision::kBFloat16) {
    model->set_precision(at::kBFloat16);
  }
  weights.load(*model, options);
  // Of trainable weights products would prepare copies anew, for each token.
  for (const at::Tensor& parameter : model->parameters()) set_trainable(parameter, false);
  model->eval();
  model->weights_changed();
  return decoder;
}

/// Prints text as it comes, in whole characters. What a model writes may hold anything, and steers
/// no terminal.
class TextStream {
 public:
  void add(const std::string& piece) {
    held_ += piece;
    // A character of UTF-8 is at most four bytes: what is no text within these never becomes one.
    for (std::size_t behind = 0; behind < 4 && behind <= held_.size(); ++behind) {
      const std::size_t whole = held_.size() - behind;
      if (!is_utf8(held_.substr(0, whole))) continue;
      print(held_.substr(0, whole));
      held_.erase(0, whole);
      return;
    }
    finish();
  }
  void finish() {
    print(held_);
    held_.clear();
  }

 private:
  void print(const std::string& text) const {
    fmt::print("{}", terminal_ ? printable_lines(text) : text);
    std::fflush(stdout);
  }

  bool terminal_ = isatty(STDOUT_FILENO) != 0;
  std::string held_;
};

ExitStatus generate(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = generate_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  const GenerationOptions options = options_of(arguments);
  const std::string prompt = arguments["prompt"];
  if (prompt.empty()) throw InputError("--prompt: names no text to go on from");
  const bool chat = arguments["chat"] == "true";
  ConfigurationDocument document = document_of(arguments);
  const std::filesystem::path tokenizer =
      located_errors(document, [&] { return find_tokenizer(document.configuration.model); });
  const PromptTokens tokens = tokenize_prompts(tokenizer, {prompt}, chat);
  const std::shared_ptr<Decoder> model =
      located_errors(document, [&] { return read_model(document, tokens); });
  TextStream stream;
  thaw::generate(*model, tokens, 0, options, [&](const std::string& piece) { stream.add(piece); });
  stream.finish();
  fmt::print("\n");
  return ExitStatus::kDone;
}

}  // namespace

int run_generate(std::vector<std::string> arguments) {
  return run_alone([&] { return generate(arguments); });
}

}  // namespace thaw
