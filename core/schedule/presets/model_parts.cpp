#include "core/schedule/presets/model_parts.h"

#include <algorithm>

#include "core/config/model_families.h"

namespace thaw {

ModelParts::ModelParts(const ScheduleOptions& options, const std::vector<std::string>& names)
    : options_(options),
      names_(names),
      head_(names.size() - 1),
      has_input_(head_ > 0 && is_input_group(names[0])) {
  for (std::size_t i = has_input_ ? 1 : 0; i < head_; ++i) layers_.push_back(i);
}

std::set<std::size_t> ModelParts::all() const {
  std::set<std::size_t> groups(layers_.begin(), layers_.end());
  groups.insert(head_);
  if (trains_input()) groups.insert(0);
  return groups;
}

std::vector<std::vector<std::size_t>> ModelParts::layers(bool from_the_top) const {
  std::vector<std::size_t> order = layers_;
  if (from_the_top) std::reverse(order.begin(), order.end());
  const auto at_once = static_cast<std::size_t>(
      std::min<std::int64_t>(options_.groups_per_stage, static_cast<std::int64_t>(names_.size())));
  std::vector<std::vector<std::size_t>> units;
  for (std::size_t i = 0; i < order.size(); i += at_once) {
    const std::size_t end = std::min(i + at_once, order.size());
    units.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(i),
                       order.begin() + static_cast<std::ptrdiff_t>(end));
  }
  return units;
}

void Thawing::join(const std::string& name, const std::vector<std::size_t>& groups) {
  active_.insert(groups.begin(), groups.end());
  stages_.push_back({name, active_});
}

void Thawing::join_first(std::size_t group) {
  for (PresetStage& stage : stages_) stage.active.insert(group);
}

}  // namespace thaw
