#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace thaw {

struct Fingerprint;

/// What stands beside each sample to be learnt, by array and type in a data file. Which task learns
/// from it, the tasks say (core/tasks).
enum class LabelType {
  kClass,    ///< `labels` int64 [N]: the number of its class
  kFlags,    ///< `labels` uint8 [N, C]: 0 or 1 for each of C
  kValues,   ///< `labels` float32 [N] or [N, K]: numbers
  kPrompts,  ///< `prompt_lengths` int32 [N]: see PromptLengths
  kTokens,   ///< `token_labels` int32 [tokens of all samples]: see TokenClasses
};

/// Of each sample of text the tokens that are given: what is learnt is how it goes on.
struct PromptLengths {
  std::vector<std::int64_t> lengths;  ///< 0 to all of its tokens
  bool said = true;  ///< false: running text, of which nothing stands in the file; all are 0
};

/// A class for each token.
struct TokenClasses {
  std::vector<std::int32_t> classes;        ///< of all samples' tokens; or kNotCounted
  std::vector<std::int64_t> offsets = {0};  ///< the first token of each sample, and the end
};

/// The class of a token that is not learnt from: a part of a word, a special token.
inline constexpr std::int32_t kNotCounted = -100;

/// The labels of a split's samples, in memory: a row a sample.
class Labels {
 public:
  Labels() = default;
  /// Classes, one a sample.
  Labels(std::vector<std::int64_t> classes)  // NOLINT(google-explicit-constructor)
      : values_(std::move(classes)) {}
  /// Rows of `width` flags.
  Labels(std::vector<std::uint8_t> flags, std::int64_t width)
      : width_(width), values_(std::move(flags)) {}
  /// Rows of `width` numbers.
  Labels(std::vector<float> values, std::int64_t width)
      : width_(width), values_(std::move(values)) {}
  explicit Labels(PromptLengths prompts) : values_(std::move(prompts)) {}
  /// `tokens.offsets` rise from 0 to the number of `tokens.classes`.
  explicit Labels(TokenClasses tokens) : values_(std::move(tokens)) {}

  LabelType type() const { return static_cast<LabelType>(values_.index()); }
  /// Samples.
  std::int64_t size() const;
  /// Columns; 1 for classes, prompts and tokens' classes.
  std::int64_t width() const { return width_; }

  /// Of each sample. Throws std::bad_variant_access for labels of another type, as those below.
  std::span<const std::int64_t> classes() const {
    return std::get<std::vector<std::int64_t>>(values_);
  }
  /// Row after row.
  std::span<const std::uint8_t> flags() const {
    return std::get<std::vector<std::uint8_t>>(values_);
  }
  /// Row after row.
  std::span<const float> values() const { return std::get<std::vector<float>>(values_); }
  const PromptLengths& prompts() const { return std::get<PromptLengths>(values_); }
  const TokenClasses& tokens() const { return std::get<TokenClasses>(values_); }

  /// Adds those of another file, which are of the same type and width; or all, if there are none.
  void append(const Labels& more);
  /// Those of `samples`, in that order.
  Labels of(std::span<const std::int64_t> samples) const;
  /// Copies those of `samples`, row after row, to `memory`, which must hold them, as a batch has
  /// them: whole numbers but flags as int64.
  void copy(std::span<const std::int64_t> samples, std::byte* memory) const;

  /// What is wrong with one of them, whatever is learnt: "sample 3 has label -1; labels must be >=
  /// 0". "" where all are well. `offsets`: of text, the first token of each sample and the end.
  std::string objection(std::span<const std::int64_t> offsets = {}) const;
  /// Of all bytes.
  Fingerprint fingerprint() const;
  /// The name of their array in a file: "labels", "prompt_lengths", "token_labels".
  const char* array() const;
  /// "int64", "uint8 [N, 5]", "float32 [N, 2]", "prompt_lengths int32", "token_labels int32", "none
  /// (running text)"; for messages.
  std::string describe_type() const;
  /// "3 to 12 samples a class", "-1.5 to 3.25", "prompts of 2 to 9 tokens": for people. `columns`:
  /// of classes.
  std::string describe(std::size_t columns) const;

 private:
  std::int64_t width_ = 1;
  // In the order of LabelType.
  std::variant<std::vector<std::int64_t>, std::vector<std::uint8_t>, std::vector<float>,
               PromptLengths, TokenClasses>
      values_;
};

}  // namespace thaw
