#include "core/schedule/policies/drawing.h"

#include <fmt/format.h>

namespace thaw {

DrawRule read_draw(InnerTable& table, const PolicyFacts& facts) {
  const ScheduleOptions presets;
  DrawRule rule;
  rule.groups = table.integer("groups", presets.random_groups, {.least = 1, .most = 1e6});
  rule.seed = table.integer("seed", presets.random_seed, {.least = -0x1p63, .most = 0x1p63});
  if (table.good() && rule.groups > static_cast<std::int64_t>(facts.free)) {
    table.report("groups", fmt::format("{} cannot be drawn of {}", rule.groups, facts.free));
  }
  return rule;
}

std::vector<std::pair<std::string, OptionValue>> draw_preset(const ScheduleOptions& options,
                                                             const std::string& head) {
  std::vector<std::pair<std::string, OptionValue>> entries = {{"groups", options.random_groups},
                                                              {"seed", options.random_seed}};
  // Embeddings that have the last turn are drawn like the layers.
  if (options.embeddings == InputTurn::kLast)
    entries.emplace_back("always", std::vector<std::string>{head});
  return entries;
}

std::uint64_t first_bits(const DrawRule& rule, std::int64_t segment) {
  return mixed_bits(mixed_bits(static_cast<std::uint64_t>(rule.seed)) ^
                    static_cast<std::uint64_t>(segment));
}

std::uint64_t mixed_bits(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

}  // namespace thaw
