#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "launch/generate/prompt_tokens.h"
#include "launch/generate/sampling.h"

namespace thaw {

class Decoder;

struct GenerationOptions {
  std::int64_t most_tokens = 256;  ///< of the answer; the model's context may end it before
  SamplingOptions sampling;
};

/// What a model makes of a prompt.
struct Answer {
  std::vector<std::int64_t> tokens;  ///< without the end token
  std::string text;                  ///< their bytes, which need not be whole characters of UTF-8
  bool ended = false;                ///< by an end token, and not by a limit
};

/// Throws InputError for a prompt that leaves no room in the model's context, or holds a token that
/// the model does not have.
void check_prompt(const Decoder& model, const PromptTokens& tokens, std::size_t prompt);

/// Has `model` go on from prompt number `prompt` of `tokens`, token by token, each of the one
/// before it by a cache of keys and values. `emit` gets each piece of text as it comes; may be
/// empty. Throws as check_prompt does, and RunError where the model's outputs are no numbers.
Answer generate(Decoder& model, const PromptTokens& tokens, std::size_t prompt,
                const GenerationOptions& options,
                const std::function<void(const std::string&)>& emit);

}  // namespace thaw
