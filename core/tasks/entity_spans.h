#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace thaw {

/// What classes of tokens say by their names where these are IOB tags (Ramshaw & Marcus 1995):
/// "B-x" begins a span of kind x, "I-x" goes on with it, "O" is outside of any.
class EntitySpans {
 public:
  /// Tokens [first, last) of one sample.
  struct Span {
    std::int64_t first = 0, last = 0;
    std::size_t kind = 0;
    friend auto operator<=>(const Span&, const Span&) = default;
  };

  /// Nothing where a name is no such tag, or none is of a span.
  static std::optional<EntitySpans> of(const std::vector<std::string>& classes);

  /// The kinds of spans, by name, in the order of their first class.
  const std::vector<std::string>& kinds() const { return kinds_; }

  /// The spans of one sample, in order, from its tokens' classes. As conlleval and seqeval's
  /// default have it: an I- after another kind or outside begins a span too. A class that there is
  /// not is outside.
  std::vector<Span> spans(std::span<const std::int64_t> classes) const;

 private:
  struct Tag {
    bool inside = false;  ///< B- or I-
    bool begins = false;  ///< B-
    std::size_t kind = 0;
  };
  std::vector<Tag> tags_;  ///< of each class
  std::vector<std::string> kinds_;
};

}  // namespace thaw
