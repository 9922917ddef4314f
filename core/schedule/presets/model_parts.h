#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "core/config/configuration.h"

namespace thaw {

/// A stage of a preset before lengths and rates. Groups are indices among the model's.
struct PresetStage {
  std::string name;
  std::set<std::size_t> active;
};

/// The groups of a model as presets see them: an input, which may have a turn of its own, layers,
/// and a head. Both arguments are borrowed.
class ModelParts {
 public:
  ModelParts(const ScheduleOptions& options, const std::vector<std::string>& names);

  std::size_t head() const { return head_; }
  const std::string& name(std::size_t group) const { return names_[group]; }
  /// Whether there is an input that has this turn.
  bool input_is(InputTurn turn) const { return has_input_ && options_.embeddings == turn; }
  bool trains_input() const { return has_input_ && options_.embeddings != InputTurn::kNever; }

  /// All that is ever trained.
  std::set<std::size_t> all() const;
  /// The layers in their order, or in reverse, so many together as each stage thaws.
  std::vector<std::vector<std::size_t>> layers(bool from_the_top) const;

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
  void join(const std::string& name, const std::vector<std::size_t>& groups);
  /// Makes the group active from the first stage so far.
  void join_first(std::size_t group);
  bool empty() const { return stages_.empty(); }
  std::vector<PresetStage> take() { return std::move(stages_); }

 private:
  std::set<std::size_t> active_;
  std::vector<PresetStage> stages_;
};

}  // namespace thaw
