#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/record/observer.h"
#include "launch/generate/prompt_tokens.h"

namespace thaw {

class Communicator;
class Decoder;
class StepMonitor;
struct RunSetup;

/// The tokens of the prompts in `output.samples`, on rank 0; nothing where it names none. A
/// collective, before training: what is wrong with prompts or tokenizer, or a network that answers
/// none, is thrown as an InputError on all ranks.
std::optional<PromptTokens> sample_prompts(const RunSetup& setup, Communicator& communicator);

/// Answers a run's prompts greedily at each evaluation, and tells others of it: on rank 0, while
/// the other ranks wait.
class SampleAnswers final : public TrainingObserver {
 public:
  struct Parts {
    Decoder& model;
    const PromptTokens& tokens;
    const std::vector<std::string>& prompts;
    std::int64_t most_tokens;  ///< of an answer
    StepMonitor& monitor;      ///< hears that it goes on
    std::vector<TrainingObserver*> listeners;
  };
  /// All parts outlive it.
  explicit SampleAnswers(Parts parts) : parts_(std::move(parts)) {}

  bool step_reads_weights() const override { return false; }
  void evaluation(const EvaluationReport& report) override;

 private:
  Parts parts_;
};

}  // namespace thaw
