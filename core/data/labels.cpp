#include "core/data/labels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/hash.h"

namespace thaw {
namespace {

/// Samples of each of `columns`.
std::vector<std::int64_t> counts_of(const Labels& labels, std::size_t columns) {
  std::vector<std::int64_t> counts(columns, 0);
  if (labels.type() == LabelType::kClass) {
    for (const std::int64_t label : labels.classes()) ++counts[static_cast<std::size_t>(label)];
    return counts;
  }
  const std::span<const std::uint8_t> flags = labels.flags();
  const auto width = static_cast<std::size_t>(labels.width());
  for (std::size_t i = 0; i < flags.size(); ++i) counts[i % width] += flags[i];
  return counts;
}

}  // namespace

std::int64_t Labels::size() const {
  const auto elements = std::visit([](const auto& all) { return all.size(); }, values_);
  return static_cast<std::int64_t>(elements) / width_;
}

void Labels::append(const Labels& more) {
  if (size() == 0) {
    *this = more;
    return;
  }
  std::visit(
      [&]<class Values>(Values& all) {
        const Values& others = std::get<Values>(more.values_);
        all.insert(all.end(), others.begin(), others.end());
      },
      values_);
}

Labels Labels::of(std::span<const std::int64_t> samples) const {
  Labels chosen = *this;
  std::visit(
      [&](auto& values) {
        values.resize(samples.size() * static_cast<std::size_t>(width_));
        copy(samples, reinterpret_cast<std::byte*>(values.data()));
      },
      chosen.values_);
  return chosen;
}

void Labels::copy(std::span<const std::int64_t> samples, std::byte* memory) const {
  std::visit(
      [&](const auto& values) {
        const std::size_t row = sizeof(values[0]) * static_cast<std::size_t>(width_);
        const auto* from = reinterpret_cast<const std::byte*>(values.data());
        for (const std::int64_t sample : samples) {
          memory = std::copy_n(from + static_cast<std::size_t>(sample) * row, row, memory);
        }
      },
      values_);
}

std::string Labels::objection() const {
  if (type() == LabelType::kClass) {
    const auto bad = std::find_if(classes().begin(), classes().end(), [](auto l) { return l < 0; });
    return bad == classes().end() ? ""
                                  : fmt::format("sample {} has label {}; labels must be >= 0",
                                                bad - classes().begin(), *bad);
  }
  if (type() == LabelType::kFlags) {
    const auto bad = std::find_if(flags().begin(), flags().end(), [](auto f) { return f > 1; });
    return bad == flags().end()
               ? ""
               : fmt::format("sample {} has {} for class {}; labels uint8 must be 0 or 1",
                             (bad - flags().begin()) / width_, *bad,
                             (bad - flags().begin()) % width_);
  }
  const auto bad =
      std::find_if(values().begin(), values().end(), [](float v) { return !std::isfinite(v); });
  return bad == values().end() ? ""
                               : fmt::format("sample {} has label {}; labels must be finite",
                                             (bad - values().begin()) / width_, *bad);
}

Fingerprint Labels::fingerprint() const {
  return std::visit(
      [](const auto& values) {
        return thaw::fingerprint(values.data(), values.size() * sizeof(values[0]));
      },
      values_);
}

std::string Labels::describe_type() const {
  switch (type()) {
    case LabelType::kClass:
      return "int64";
    case LabelType::kFlags:
      return fmt::format("uint8 [N, {}]", width_);
    case LabelType::kValues:
      return fmt::format("float32 [N, {}]", width_);
  }
  return "";
}

std::string Labels::describe(std::size_t columns) const {
  if (type() == LabelType::kValues) {
    const auto [least, most] = std::minmax_element(values().begin(), values().end());
    return fmt::format("{:g} to {:g}", *least, *most);
  }
  const std::vector<std::int64_t> counts = counts_of(*this, columns);
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  return fmt::format("{} to {} samples a class", *least, *most);
}

}  // namespace thaw
