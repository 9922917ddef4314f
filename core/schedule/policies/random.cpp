// `random`: every `every-steps` steps, `groups` of the stage's groups are drawn from the seed, and
// those of `always` join them (LISA: Pan and others, 2024, with embeddings and head always).
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/schedule/policies/drawing.h"
#include "core/schedule/policies/policy.h"

namespace thaw {
namespace {

class Random final : public Policy {
 public:
  Random(PolicyRule rule, const DrawRule& draw) : Policy(std::move(rule)), draw_(draw) {}

  std::string_view name() const override { return "random"; }
  std::string own_toml() const override {
    return fmt::format(", groups = {}, seed = {}", draw_.groups, draw_.seed);
  }
  std::string plain(const std::string& groups) const override {
    return fmt::format("{} drawn every {} steps of {}", draw_.groups, every_steps(), groups);
  }
  /// Equal arguments give equal sets on every machine.
  std::optional<std::vector<std::string>> foreseen(const std::vector<std::string>& groups,
                                                   std::int64_t segment) const override {
    std::set<std::string> active(always().begin(), always().end());
    std::vector<std::string> urn = chosen_among(groups);
    const auto wanted = std::min<std::size_t>(static_cast<std::size_t>(draw_.groups), urn.size());
    std::uint64_t key = first_bits(draw_, segment);
    for (std::size_t i = 0; i < wanted; ++i) {
      // The bias of the remainder is below 1e-15 for any number of groups that a model has.
      key = mixed_bits(key);
      std::swap(urn[i], urn[i + key % (urn.size() - i)]);
      active.insert(urn[i]);
    }
    std::vector<std::string> ordered;
    for (const std::string& group : groups) {
      if (active.contains(group)) ordered.push_back(group);
    }
    return ordered;
  }
  std::int64_t segment_steps() const override { return every_steps(); }
  bool segment_ended(const ScheduleState& state) const override {
    return state.segment_progress.steps >= every_steps();
  }

 private:
  DrawRule draw_;
};

std::shared_ptr<const Policy> read_random(InnerTable& table, PolicyRule rule,
                                          const PolicyFacts& facts) {
  return std::make_shared<Random>(std::move(rule), read_draw(table, facts));
}

}  // namespace

PolicyKind random_policy() {
  return {"random", {"groups", "seed"}, /*with_input=*/true, read_random, draw_preset};
}

}  // namespace thaw
