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

/// What stands beside each sample to be learnt, by the type of `labels` in a data file. Which task
/// learns from it, the tasks say (core/tasks).
enum class LabelType {
  kClass,   ///< int64 [N]: the number of its class
  kFlags,   ///< uint8 [N, C]: 0 or 1 for each of C
  kValues,  ///< float32 [N] or [N, K]: numbers
};

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

  LabelType type() const { return static_cast<LabelType>(values_.index()); }
  /// Samples.
  std::int64_t size() const;
  /// Columns; 1 for classes.
  std::int64_t width() const { return width_; }

  /// Of each sample. Throws std::bad_variant_access for labels of another type, as the two below.
  std::span<const std::int64_t> classes() const {
    return std::get<std::vector<std::int64_t>>(values_);
  }
  /// Row after row.
  std::span<const std::uint8_t> flags() const {
    return std::get<std::vector<std::uint8_t>>(values_);
  }
  /// Row after row.
  std::span<const float> values() const { return std::get<std::vector<float>>(values_); }

  /// Adds those of another file, which are of the same type and width; or all, if there are none.
  void append(const Labels& more);
  /// Those of `samples`, in that order.
  Labels of(std::span<const std::int64_t> samples) const;
  /// Copies those of `samples`, row after row, to `memory`, which must hold them.
  void copy(std::span<const std::int64_t> samples, std::byte* memory) const;

  /// What is wrong with one of them, whatever is learnt: "sample 3 has label -1; labels must be >=
  /// 0". "" where all are well.
  std::string objection() const;
  /// Of all bytes.
  Fingerprint fingerprint() const;
  /// "int64", "uint8 [N, 5]", "float32 [N, 2]"; for messages.
  std::string describe_type() const;
  /// "3 to 12 samples a class", "-1.5 to 3.25": for people. `columns`: of classes.
  std::string describe(std::size_t columns) const;

 private:
  std::int64_t width_ = 1;
  // In the order of LabelType.
  std::variant<std::vector<std::int64_t>, std::vector<std::uint8_t>, std::vector<float>> values_;
};

}  // namespace thaw
