// `random`: every `every-steps` steps, `groups` of the stage's groups are drawn from the seed, and
// those of `always` join them (LISA: Pan and others, 2024, with embeddings and head always).
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/schedule/policies/mixed_bits.h"
#include "core/schedule/policies/policy.h"

namespace thaw {
namespace {

class Random final : public Policy {
 public:
  Random(PolicyRule rule, std::int64_t groups, std::int64_t seed)
      : Policy(std::move(rule)), groups_(groups), seed_(seed) {}

  std::string_view name() const override { return "random"; }
  std::string own_toml() const override {
    return fmt::format(", groups = {}, seed = {}", groups_, seed_);
  }
  std::string plain(const std::string& groups) const override {
    return fmt::format("{} drawn every {} steps of {}", groups_, every_steps(), groups);
  }
  /// Equal arguments give equal sets on every machine.
  std::optional<std::vector<std::string>> foreseen(const std::vector<std::string>& groups,
                                                   std::int64_t segment) const override {
    std::set<std::string> active(always().begin(), always().end());
    std::vector<std::string> urn = chosen_among(groups);
    const auto wanted = std::min<std::size_t>(static_cast<std::size_t>(groups_), urn.size());
    std::uint64_t key = mixed_bits(mixed_bits(static_cast<std::uint64_t>(seed_)) ^
                                   static_cast<std::uint64_t>(segment));
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
  std::int64_t groups_;  ///< how many of those that are not always active are drawn
  std::int64_t seed_;
};

std::shared_ptr<const Policy> read_random(InnerTable& table, PolicyRule rule,
                                          const PolicyFacts& facts) {
  const ScheduleOptions presets;
  const std::int64_t groups =
      table.integer("groups", presets.random_groups, {.least = 1, .most = 1e6});
  const std::int64_t seed =
      table.integer("seed", presets.random_seed, {.least = -0x1p63, .most = 0x1p63});
  if (table.good() && groups > static_cast<std::int64_t>(facts.free)) {
    table.report("groups", fmt::format("{} cannot be drawn of {}", groups, facts.free));
  }
  return std::make_shared<Random>(std::move(rule), groups, seed);
}

std::vector<std::pair<std::string, OptionValue>> random_preset(const ScheduleOptions& options,
                                                               const std::string& head) {
  std::vector<std::pair<std::string, OptionValue>> entries = {{"groups", options.random_groups},
                                                              {"seed", options.random_seed}};
  // Embeddings that have the last turn are drawn like the layers.
  if (options.embeddings == InputTurn::kLast)
    entries.emplace_back("always", std::vector<std::string>{head});
  return entries;
}

}  // namespace

PolicyKind random_policy() {
  return {"random", {"groups", "seed"}, /*with_input=*/true, read_random, random_preset};
}

}  // namespace thaw
