#include "core/schedule/preset_stages.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/schedule/toml/policy_reader.h"

namespace thaw {
namespace {

using Groups = std::set<std::size_t>;

/// The groups of a model as presets see them.
class Parts {
 public:
  Parts(const ScheduleOptions& options, const std::vector<std::string>& names)
      : options_(options), names_(names), head_(names.size() - 1) {
    has_input_ = head_ > 0 && is_input_group(names[0]);
    for (std::size_t i = has_input_ ? 1 : 0; i < head_; ++i) layers_.push_back(i);
  }

  std::size_t head() const { return head_; }
  bool input_is(InputTurn turn) const { return has_input_ && options_.embeddings == turn; }
  bool trains_input() const { return has_input_ && options_.embeddings != InputTurn::kNever; }
  const std::string& name(std::size_t group) const { return names_[group]; }

  Groups all() const {
    Groups groups(layers_.begin(), layers_.end());
    groups.insert(head_);
    if (trains_input()) groups.insert(0);
    return groups;
  }

  /// The layers in their order, or in reverse, so many together as each stage thaws.
  std::vector<std::vector<std::size_t>> layers(bool from_the_top) const {
    std::vector<std::size_t> order = layers_;
    if (from_the_top) std::reverse(order.begin(), order.end());
    const auto at_once = static_cast<std::size_t>(std::min<std::int64_t>(
        options_.groups_per_stage, static_cast<std::int64_t>(names_.size())));
    std::vector<std::vector<std::size_t>> units;
    for (std::size_t i = 0; i < order.size(); i += at_once) {
      const std::size_t end = std::min(i + at_once, order.size());
      units.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(i),
                         order.begin() + static_cast<std::ptrdiff_t>(end));
    }
    return units;
  }

 private:
  const ScheduleOptions& options_;
  const std::vector<std::string>& names_;
  std::size_t head_;
  bool has_input_;
  std::vector<std::size_t> layers_;
};

/// Stages that each thaw more, from those that join in each.
class Thawing {
 public:
  void join(const std::string& name, const std::vector<std::size_t>& groups) {
    active_.insert(groups.begin(), groups.end());
    stages_.push_back({name, active_});
  }
  void join_first(std::size_t group) {
    for (PresetStage& stage : stages_) stage.active.insert(group);
  }
  std::vector<PresetStage> take() { return std::move(stages_); }
  bool empty() const { return stages_.empty(); }

 private:
  Groups active_;
  std::vector<PresetStage> stages_;
};

std::vector<PresetStage> top_down(const Parts& parts) {
  Thawing thawing;
  thawing.join(parts.name(parts.head()), {parts.head()});
  for (const auto& layers : parts.layers(/*from_the_top=*/true)) {
    thawing.join(parts.name(layers.back()), layers);
  }
  const bool first = parts.input_is(InputTurn::kFirst);
  if (parts.trains_input() && !first) thawing.join(parts.name(0), {0});
  if (first) thawing.join_first(0);
  return thawing.take();
}

std::vector<PresetStage> bottom_up(const Parts& parts, bool head_last) {
  Thawing thawing;
  const bool last = parts.input_is(InputTurn::kLast);
  const bool first = parts.trains_input() && !last;
  if (first) thawing.join(parts.name(0), {0});
  for (const auto& layers : parts.layers(/*from_the_top=*/false)) {
    thawing.join(parts.name(layers.back()), layers);
  }
  if (head_last || thawing.empty()) thawing.join(parts.name(parts.head()), {parts.head()});
  if (last) thawing.join(parts.name(0), {0});
  if (!head_last) thawing.join_first(parts.head());
  if (first) thawing.join_first(0);
  return thawing.take();
}

std::vector<PresetStage> chain_thaw(const Parts& parts) {
  std::vector<PresetStage> stages = {{parts.name(parts.head()), {parts.head()}}};
  if (parts.trains_input()) stages.push_back({parts.name(0), {0}});
  for (const auto& layers : parts.layers(/*from_the_top=*/false)) {
    stages.push_back({parts.name(layers.back()), Groups(layers.begin(), layers.end())});
  }
  stages.push_back({"all", parts.all()});
  return stages;
}

}  // namespace

std::vector<PresetStage> preset_stages(const ScheduleOptions& options,
                                       const std::vector<std::string>& groups) {
  const Parts parts(options, groups);
  const std::size_t head = parts.head();
  const std::string& preset = options.preset;
  if (preset == "head-only") return {{groups[head], {head}}};
  if (preset == "head-then-all") return {{groups[head], {head}}, {"all", parts.all()}};
  if (preset == "chain-thaw") return chain_thaw(parts);
  if (preset == "top-down") return top_down(parts);
  if (preset == "bottom-up") return bottom_up(parts, options.head == HeadTurn::kLast);
  return {{preset, parts.all()}};
}

std::vector<std::set<std::size_t>> freezing_units(const ScheduleOptions& options,
                                                  const std::vector<std::string>& groups) {
  const Parts parts(options, groups);
  std::vector<Groups> units;
  if (parts.trains_input()) units.push_back({0});
  for (const auto& layers : parts.layers(/*from_the_top=*/false)) {
    units.emplace_back(layers.begin(), layers.end());
  }
  units.push_back({parts.head()});
  return units;
}

std::vector<double> freezing_times(std::size_t units, double first, bool cubed) {
  const double start = cubed ? std::cbrt(first) : first;
  std::vector<double> times;
  for (std::size_t i = 0; i < units; ++i) {
    const double place = units > 1 ? static_cast<double>(i) / static_cast<double>(units - 1) : 1;
    const double time = start + (1 - start) * place;
    times.push_back(cubed ? time * time * time : time);
  }
  times.back() = 1;
  return times;
}

}  // namespace thaw
