#include "core/tasks/entity_spans.h"

#include <algorithm>

namespace thaw {

std::optional<EntitySpans> EntitySpans::of(const std::vector<std::string>& classes) {
  EntitySpans result;
  for (const std::string& name : classes) {
    if (name == "O") {
      result.tags_.push_back({});
      continue;
    }
    if (name.size() < 3 || name[1] != '-' || (name[0] != 'B' && name[0] != 'I')) {
      return std::nullopt;
    }
    const std::string kind = name.substr(2);
    const auto found = std::find(result.kinds_.begin(), result.kinds_.end(), kind);
    const auto place = static_cast<std::size_t>(found - result.kinds_.begin());
    if (found == result.kinds_.end()) result.kinds_.push_back(kind);
    result.tags_.push_back({.inside = true, .begins = name[0] == 'B', .kind = place});
  }
  if (result.kinds_.empty()) return std::nullopt;
  return result;
}

std::vector<EntitySpans::Span> EntitySpans::spans(std::span<const std::int64_t> classes) const {
  std::vector<Span> found;
  Tag before;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const bool known = classes[i] >= 0 && classes[i] < std::ssize(tags_);
    const Tag tag = known ? tags_[static_cast<std::size_t>(classes[i])] : Tag();
    const bool goes_on = before.inside && !tag.begins && tag.kind == before.kind;
    const auto at = static_cast<std::int64_t>(i);
    if (tag.inside && goes_on) found.back().last = at + 1;
    if (tag.inside && !goes_on) found.push_back({at, at + 1, tag.kind});
    before = tag;
  }
  return found;
}

}  // namespace thaw
