#include "core/data/labels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/hash.h"

namespace thaw {
namespace {

/// Rows of `width` values of one type.
template <class Value>
std::int64_t rows_of(const std::vector<Value>& values, std::int64_t width) {
  return static_cast<std::int64_t>(values.size()) / width;
}
std::int64_t rows_of(const PromptLengths& prompts, std::int64_t /*width*/) {
  return static_cast<std::int64_t>(prompts.lengths.size());
}
std::int64_t rows_of(const TokenClasses& tokens, std::int64_t /*width*/) {
  return static_cast<std::int64_t>(tokens.offsets.size()) - 1;
}

template <class Value>
void add(std::vector<Value>& all, const std::vector<Value>& more) {
  all.insert(all.end(), more.begin(), more.end());
}
void add(PromptLengths& all, const PromptLengths& more) { add(all.lengths, more.lengths); }
void add(TokenClasses& all, const TokenClasses& more) {
  const std::int64_t before = all.offsets.back();
  add(all.classes, more.classes);
  for (std::size_t i = 1; i < more.offsets.size(); ++i) {
    all.offsets.push_back(before + more.offsets[i]);
  }
}

/// The classes of one sample's tokens.
std::span<const std::int32_t> of_sample(const TokenClasses& tokens, std::int64_t sample) {
  const auto at = static_cast<std::size_t>(sample);
  const auto first = static_cast<std::size_t>(tokens.offsets[at]);
  const auto last = static_cast<std::size_t>(tokens.offsets[at + 1]);
  return std::span(tokens.classes).subspan(first, last - first);
}

template <class Value>
std::vector<Value> chosen(const std::vector<Value>& values, std::span<const std::int64_t> samples,
                          std::size_t width) {
  std::vector<Value> rows;
  rows.reserve(samples.size() * width);
  for (const std::int64_t sample : samples) {
    const auto first = values.begin() + sample * static_cast<std::int64_t>(width);
    rows.insert(rows.end(), first, first + static_cast<std::int64_t>(width));
  }
  return rows;
}
PromptLengths chosen(const PromptLengths& prompts, std::span<const std::int64_t> samples,
                     std::size_t /*width*/) {
  return {chosen(prompts.lengths, samples, 1), prompts.said};
}
TokenClasses chosen(const TokenClasses& tokens, std::span<const std::int64_t> samples,
                    std::size_t /*width*/) {
  TokenClasses rows;
  for (const std::int64_t sample : samples) {
    const std::span<const std::int32_t> row = of_sample(tokens, sample);
    rows.classes.insert(rows.classes.end(), row.begin(), row.end());
    rows.offsets.push_back(static_cast<std::int64_t>(rows.classes.size()));
  }
  return rows;
}

template <class Value>
void copy_rows(const std::vector<Value>& values, std::span<const std::int64_t> samples,
               std::size_t width, std::byte* memory) {
  const std::size_t row = sizeof(Value) * width;
  const auto* from = reinterpret_cast<const std::byte*>(values.data());
  for (const std::int64_t sample : samples) {
    memory = std::copy_n(from + static_cast<std::size_t>(sample) * row, row, memory);
  }
}
void copy_rows(const PromptLengths& prompts, std::span<const std::int64_t> samples,
               std::size_t width, std::byte* memory) {
  copy_rows(prompts.lengths, samples, width, memory);
}
void copy_rows(const TokenClasses& tokens, std::span<const std::int64_t> samples,
               std::size_t /*width*/, std::byte* memory) {
  auto* to = reinterpret_cast<std::int64_t*>(memory);
  for (const std::int64_t sample : samples)
    to = std::ranges::copy(of_sample(tokens, sample), to).out;
}

template <class Value>
Fingerprint fingerprint_of(const std::vector<Value>& values) {
  return fingerprint(values.data(), values.size() * sizeof(Value));
}
Fingerprint fingerprint_of(const PromptLengths& prompts) { return fingerprint_of(prompts.lengths); }
Fingerprint fingerprint_of(const TokenClasses& tokens) { return fingerprint_of(tokens.classes); }

std::string class_objection(std::span<const std::int64_t> classes) {
  const auto bad =
      std::find_if(classes.begin(), classes.end(), [](auto label) { return label < 0; });
  return bad == classes.end() ? ""
                              : fmt::format("sample {} has label {}; labels must be >= 0",
                                            bad - classes.begin(), *bad);
}

std::string flag_objection(std::span<const std::uint8_t> flags, std::int64_t width) {
  const auto bad = std::find_if(flags.begin(), flags.end(), [](auto flag) { return flag > 1; });
  return bad == flags.end()
             ? ""
             : fmt::format("sample {} has {} for class {}; labels uint8 must be 0 or 1",
                           (bad - flags.begin()) / width, *bad, (bad - flags.begin()) % width);
}

std::string value_objection(std::span<const float> values, std::int64_t width) {
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  return bad == values.end() ? ""
                             : fmt::format("sample {} has label {}; labels must be finite",
                                           (bad - values.begin()) / width, *bad);
}

std::string prompt_objection(const PromptLengths& prompts, std::span<const std::int64_t> offsets) {
  for (std::size_t i = 0; i < prompts.lengths.size(); ++i) {
    const std::int64_t prompt = prompts.lengths[i];
    if (prompt < 0) {
      return fmt::format("sample {} has a prompt of {} tokens; prompt_lengths must be >= 0", i,
                         prompt);
    }
    if (i + 1 < offsets.size() && prompt > offsets[i + 1] - offsets[i]) {
      return fmt::format(
          "sample {} has a prompt of {} tokens, but {} tokens in all, prompt included", i, prompt,
          offsets[i + 1] - offsets[i]);
    }
  }
  return "";
}

std::string token_objection(const TokenClasses& tokens) {
  const auto bad = std::find_if(tokens.classes.begin(), tokens.classes.end(),
                                [](auto label) { return label < 0 && label != kNotCounted; });
  if (bad == tokens.classes.end()) return "";
  const std::int64_t at = bad - tokens.classes.begin();
  const auto sample = std::upper_bound(tokens.offsets.begin(), tokens.offsets.end(), at) - 1;
  return fmt::format(
      "token {} of sample {} has label {}; token_labels must be class numbers from 0 on, or {} "
      "where a token does not count",
      at - *sample, sample - tokens.offsets.begin(), *bad, kNotCounted);
}

/// Samples, or tokens, of each of `columns`.
std::vector<std::int64_t> counts_of(const Labels& labels, std::size_t columns) {
  std::vector<std::int64_t> counts(columns, 0);
  if (labels.type() == LabelType::kClass) {
    for (const std::int64_t label : labels.classes()) ++counts[static_cast<std::size_t>(label)];
    return counts;
  }
  if (labels.type() == LabelType::kTokens) {
    for (const std::int32_t label : labels.tokens().classes) {
      if (label >= 0) ++counts[static_cast<std::size_t>(label)];
    }
    return counts;
  }
  const std::span<const std::uint8_t> flags = labels.flags();
  const auto width = static_cast<std::size_t>(labels.width());
  for (std::size_t i = 0; i < flags.size(); ++i) counts[i % width] += flags[i];
  return counts;
}

}  // namespace

std::int64_t Labels::size() const {
  return std::visit([&](const auto& all) { return rows_of(all, width_); }, values_);
}

void Labels::append(const Labels& more) {
  if (size() == 0) {
    *this = more;
    return;
  }
  std::visit([&]<class Values>(Values& all) { add(all, std::get<Values>(more.values_)); }, values_);
}

Labels Labels::of(std::span<const std::int64_t> samples) const {
  Labels some;
  some.width_ = width_;
  std::visit(
      [&](const auto& all) {
        some.values_ = chosen(all, samples, static_cast<std::size_t>(width_));
      },
      values_);
  return some;
}

void Labels::copy(std::span<const std::int64_t> samples, std::byte* memory) const {
  std::visit(
      [&](const auto& all) { copy_rows(all, samples, static_cast<std::size_t>(width_), memory); },
      values_);
}

std::string Labels::objection(std::span<const std::int64_t> offsets) const {
  switch (type()) {
    case LabelType::kClass:
      return class_objection(classes());
    case LabelType::kFlags:
      return flag_objection(flags(), width_);
    case LabelType::kValues:
      return value_objection(values(), width_);
    case LabelType::kPrompts:
      return prompt_objection(prompts(), offsets);
    case LabelType::kTokens:
      return token_objection(tokens());
  }
  return "";
}

Fingerprint Labels::fingerprint() const {
  return std::visit([](const auto& all) { return fingerprint_of(all); }, values_);
}

const char* Labels::array() const {
  if (type() == LabelType::kTokens) return "token_labels";
  return type() == LabelType::kPrompts && prompts().said ? "prompt_lengths" : "labels";
}

std::string Labels::describe_type() const {
  switch (type()) {
    case LabelType::kClass:
      return "int64";
    case LabelType::kFlags:
      return fmt::format("uint8 [N, {}]", width_);
    case LabelType::kValues:
      return fmt::format("float32 [N, {}]", width_);
    case LabelType::kPrompts:
      return prompts().said ? "prompt_lengths int32" : "none (running text)";
    case LabelType::kTokens:
      return "token_labels int32";
  }
  return "";
}

std::string Labels::describe(std::size_t columns) const {
  if (type() == LabelType::kValues) {
    const auto [least, most] = std::minmax_element(values().begin(), values().end());
    return fmt::format("{:g} to {:g}", *least, *most);
  }
  if (type() == LabelType::kPrompts) {
    const std::vector<std::int64_t>& lengths = prompts().lengths;
    const auto [least, most] = std::minmax_element(lengths.begin(), lengths.end());
    return prompts().said ? fmt::format("prompts of {} to {} tokens", *least, *most)
                          : "running text";
  }
  const std::vector<std::int64_t> counts = counts_of(*this, columns);
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  return fmt::format("{} to {} {} a class", *least, *most,
                     type() == LabelType::kTokens ? "tokens" : "samples");
}

}  // namespace thaw
