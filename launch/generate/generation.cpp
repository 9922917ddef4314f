#include "launch/generate/generation.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/models/decoder/decoder.h"

namespace thaw {

void check_prompt(const Decoder& model, const PromptTokens& tokens, std::size_t prompt) {
  const std::vector<std::int64_t>& asked = tokens.prompts[prompt];
  if (static_cast<std::int64_t>(asked.size()) >= model.context()) {
    throw InputError(
        fmt::format("a prompt of {} tokens leaves no room in the model's context of {}",
                    asked.size(), model.context()));
  }
  const std::int64_t largest = *std::max_element(asked.begin(), asked.end());
  if (largest >= model.vocabulary()) {
    throw InputError(
        fmt::format("a prompt's token {} is none of the model's {}: the tokenizer is "
                    "another model's",
                    largest, model.vocabulary()));
  }
}

Answer generate(Decoder& model, const PromptTokens& tokens, std::size_t prompt,
                const GenerationOptions& options,
                const std::function<void(const std::string&)>& emit) {
  const std::vector<std::int64_t>& asked = tokens.prompts[prompt];
  const auto length = static_cast<std::int64_t>(asked.size());
  check_prompt(model, tokens, prompt);
  const auto device = model.parameters().front().device();
  DecoderCache cache;
  const auto logits_after = [&](const std::vector<std::int64_t>& next) {
    return model.next_logits(at::tensor(next, at::kLong).to(device), cache);
  };
  Answer answer;
  at::Tensor logits = logits_after(asked);
  const std::int64_t most = std::min(options.most_tokens, model.context() - length);
  for (std::int64_t made = 0; made < most; ++made) {
    const double draw =
        sampling_draw(options.sampling.seed, static_cast<std::uint64_t>(length + made));
    const std::int64_t token = choose_token(logits, options.sampling, draw);
    answer.ended = std::find(tokens.ends.begin(), tokens.ends.end(), token) != tokens.ends.end();
    if (answer.ended) break;
    answer.tokens.push_back(token);
    // A vocabulary is often padded with tokens that no text has.
    if (const auto index = static_cast<std::size_t>(token); index < tokens.pieces.size()) {
      answer.text += tokens.pieces[index];
      if (emit) emit(tokens.pieces[index]);
    }
    if (made + 1 < most) logits = logits_after({token});
  }
  return answer;
}

}  // namespace thaw
