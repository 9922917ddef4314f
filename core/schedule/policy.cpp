#include "core/schedule/policy.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include "core/schedule/triggers.h"

namespace thaw {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Steele, Lea and Flood, SplitMix (2014): one output for each counter, the same everywhere.
std::uint64_t mixed(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

/// The value below which `percent` of the values lie, interpolated linearly, as numpy does.
double percentile_of(std::vector<double> values, double percent) {
  std::sort(values.begin(), values.end());
  const double place = percent / 100 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(std::floor(place));
  const std::size_t above = std::min(below + 1, values.size() - 1);
  const double share = place - std::floor(place);
  return share == 0 ? values[below] : values[below] + share * (values[above] - values[below]);
}

}  // namespace

std::string_view name_of(Policy::Kind kind) {
  static constexpr std::string_view kNames[] = {"", "random", "auto-freeze"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::vector<std::string> random_groups(const Policy& policy, const std::vector<std::string>& groups,
                                       std::int64_t segment) {
  std::vector<std::string> urn;
  for (const std::string& group : groups) {
    if (!contains(policy.always, group)) urn.push_back(group);
  }
  const auto wanted = std::min<std::size_t>(static_cast<std::size_t>(policy.groups), urn.size());
  std::uint64_t key =
      mixed(mixed(static_cast<std::uint64_t>(policy.seed)) ^ static_cast<std::uint64_t>(segment));
  std::set<std::string> active(policy.always.begin(), policy.always.end());
  for (std::size_t i = 0; i < wanted; ++i) {
    // The bias of the remainder is below 1e-15 for any number of groups that a model has.
    key = mixed(key);
    std::swap(urn[i], urn[i + key % (urn.size() - i)]);
    active.insert(urn[i]);
  }
  std::vector<std::string> ordered;
  for (const std::string& group : groups) {
    if (active.contains(group)) ordered.push_back(group);
  }
  return ordered;
}

std::vector<std::string> watched_groups(const Policy& policy,
                                        const std::vector<std::string>& active) {
  if (policy.kind != Policy::Kind::kAutoFreeze) return {};
  std::vector<std::string> watched;
  for (const std::string& group : active) {
    if (!contains(policy.always, group)) watched.push_back(group);
  }
  // One alone is never below its own percentile.
  return watched.size() > 1 ? watched : std::vector<std::string>();
}

std::vector<std::string> still_active(const Policy& policy, const std::vector<std::string>& active,
                                      const std::map<std::string, double>& gradient_norms,
                                      std::map<std::string, TriggerState>& signals) {
  const std::vector<std::string> watched = watched_groups(policy, active);
  std::vector<double> changes;
  for (const std::string& group : watched) {
    const auto change = observe_norm(policy.every_steps, gradient_norms.at(group), signals[group]);
    if (change) changes.push_back(*change);
  }
  if (changes.size() < watched.size() || changes.empty()) return active;
  const double limit = percentile_of(changes, policy.percentile);
  std::set<std::string> frozen;
  for (std::size_t i = 0; i < watched.size() && changes[i] < limit; ++i) {
    frozen.insert(watched[i]);
  }
  std::vector<std::string> stay;
  for (const std::string& group : active) {
    if (!frozen.contains(group)) stay.push_back(group);
  }
  for (const std::string& group : frozen) signals.erase(group);
  return stay;
}

}  // namespace thaw
