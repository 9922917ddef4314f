#include "core/data/counted_tokens.h"

#include <fmt/format.h>

#include <numeric>
#include <span>

#include "core/base/error.h"
#include "core/data/split.h"

namespace thaw {
namespace {

template <class Number>
std::int64_t counted_classes(std::span<const Number> classes) {
  return std::count_if(classes.begin(), classes.end(),
                       [](Number label) { return label != kNotCounted; });
}

}  // namespace

CountedTokens counted_tokens(const Split& split) {
  CountedTokens counted;
  const Labels& labels = split.labels();
  const bool prompts = labels.type() == LabelType::kPrompts;
  if (!prompts && labels.type() != LabelType::kTokens) return counted;
  for (std::int64_t sample = 0; sample < split.size(); ++sample) {
    const auto at = static_cast<std::size_t>(sample);
    const std::int64_t length = split.elements(sample);
    const std::int64_t tokens =
        prompts ? counted_next_tokens(length, labels.prompts().lengths[at])
                : counted_classes(std::span(labels.tokens().classes)
                                      .subspan(static_cast<std::size_t>(split.offsets()[at]),
                                               static_cast<std::size_t>(length)));
    counted.tokens += tokens;
    counted.samples_without += tokens == 0 ? 1 : 0;
  }
  return counted;
}

std::string describe_counted(const Split& split) {
  const CountedTokens counted = counted_tokens(split);
  if (counted.tokens == 0) return "";
  std::string text = fmt::format("{} tokens count", counted.tokens);
  if (counted.samples_without > 0) {
    text += fmt::format("; {} samples have none that does", counted.samples_without);
  }
  return text;
}

void require_counted_tokens(const Split& split, const std::string& where) {
  const LabelType type = split.labels().type();
  if (type != LabelType::kPrompts && type != LabelType::kTokens) return;
  if (counted_tokens(split).tokens == 0) {
    throw InputError(fmt::format(
        "{}: no token of its {} samples counts, so there is nothing to learn from or to measure: "
        "{}",
        where, split.size(),
        type == LabelType::kTokens
            ? fmt::format("all token_labels are {}", kNotCounted)
            : "each ends with its prompt, or is a single token; a first token is never predicted"));
  }
  const std::span<const std::int32_t> bytes = split.bytes();
  if (!bytes.empty() && std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0}) == 0) {
    throw InputError(fmt::format(
        "{}: all of its bytes are 0: give the UTF-8 bytes of the text behind each sample's counted "
        "tokens, or leave the array out",
        where));
  }
}

}  // namespace thaw
