#include "launch/generate/sample_answers.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/data/dataset.h"
#include "core/models/decoder/decoder.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/parallel/step_monitor.h"
#include "launch/generate/generation.h"
#include "launch/run/run_setup.h"

namespace thaw {
namespace {

PromptTokens tokens_of(const RunSetup& setup, bool first) {
  const Configuration& configuration = setup.configuration();
  const auto* model = dynamic_cast<const Decoder*>(setup.model.get());
  if (model == nullptr) {
    throw InputError(
        fmt::format("model.architecture = \"{}\" answers no prompts: that is for "
                    "language models (task causal-lm)",
                    configuration.model.architecture));
  }
  if (!first) return {};
  PromptTokens tokens =
      tokenize_prompts(find_tokenizer(configuration.model), configuration.output.samples, false);
  check_tokenizer(tokens, setup.dataset->tokens(), setup.dataset->files().front());
  for (std::size_t i = 0; i < tokens.prompts.size(); ++i) {
    check_prompt(*model, tokens, i);
  }
  return tokens;
}

}  // namespace

std::optional<PromptTokens> sample_prompts(const RunSetup& setup, Communicator& communicator) {
  if (setup.configuration().output.samples.empty()) return std::nullopt;
  return agreed(communicator, [&] {
    try {
      return tokens_of(setup, communicator.rank() == 0);
    } catch (const InputError& error) {
      throw InputError(fmt::format("{}: {}", setup.document.where("output.samples"), error.what()));
    }
  });
}

void SampleAnswers::evaluation(const EvaluationReport& report) {
  const Stopwatch watch;
  SamplesReport samples;
  set_place(samples, {.step = report.step, .epoch = report.epoch, .stage = report.stage});
  const GenerationOptions options{.most_tokens = parts_.most_tokens, .sampling = {}};
  for (std::size_t i = 0; i < parts_.prompts.size(); ++i) {
    std::string text;
    try {
      text = generate(parts_.model, parts_.tokens, i, options, [&](const std::string&) {
               parts_.monitor.tick();
             }).text;
    } catch (const RunError& error) {  // training says itself what it does where it diverges
      text = fmt::format("({})", error.what());
    }
    samples.samples.push_back({parts_.prompts[i], text});
  }
  samples.seconds = watch.seconds();
  tell(parts_.listeners, &TrainingObserver::samples, samples);
}

}  // namespace thaw
