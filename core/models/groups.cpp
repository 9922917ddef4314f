#include "core/models/groups.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/glob.h"
#include "core/base/suggest.h"

namespace thaw {
namespace {

/// Which group's pattern a name matches, and which patterns have matched anything so far.
class Matcher {
 public:
  explicit Matcher(const std::vector<ParameterGroup>& groups) : groups_(groups) {
    std::set<std::string> names;
    for (const ParameterGroup& group : groups) {
      if (!names.insert(group.name).second) {
        throw InputError(fmt::format("group \"{}\" is named twice", group.name));
      }
      used_.emplace_back(group.patterns.size(), false);
    }
  }

  /// Throws if two groups claim the name.
  std::optional<std::size_t> group_of(const std::string& name, const char* kind) {
    std::optional<std::size_t> found;
    for (std::size_t group = 0; group < groups_.size(); ++group) {
      if (!matches(group, name)) {
        continue;
      }
      if (found) {
        throw InputError(fmt::format("{} \"{}\" is in two groups, \"{}\" and \"{}\"", kind, name,
                                     groups_[*found].name, groups_[group].name));
      }
      found = group;
    }
    return found;
  }

  /// Throws if a pattern matched none of `names`, which are all that there are.
  void require_all_used(const std::vector<std::string>& names) const {
    for (std::size_t group = 0; group < groups_.size(); ++group) {
      for (std::size_t i = 0; i < used_[group].size(); ++i) {
        if (!used_[group][i]) {
          const std::string& pattern = groups_[group].patterns[i];
          const std::string near = nearest_name(pattern, names);
          throw InputError(fmt::format(
              "group \"{}\": pattern \"{}\" matches no parameter or buffer of the model{}",
              groups_[group].name, pattern,
              near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near)));
        }
      }
    }
  }

 private:
  /// Whether one of the group's patterns matches, and none of those with "!".
  bool matches(std::size_t group, const std::string& name) {
    bool in = false;
    bool out = false;
    for (std::size_t i = 0; i < groups_[group].patterns.size(); ++i) {
      const std::string& pattern = groups_[group].patterns[i];
      const bool negative = pattern.starts_with('!');
      if (glob_match(negative ? pattern.substr(1) : pattern, name)) {
        used_[group][i] = true;
        (negative ? out : in) = true;
      }
    }
    return in && !out;
  }

  const std::vector<ParameterGroup>& groups_;
  std::vector<std::vector<bool>> used_;
};

std::string names_of(const std::vector<ParameterGroup>& groups) {
  std::vector<std::string> names;
  for (const ParameterGroup& group : groups) {
    names.push_back(group.name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

std::vector<std::string> names_of_tensors(const torch::nn::Module& module) {
  std::vector<std::string> names = module.named_parameters().keys();
  const std::vector<std::string> buffers = module.named_buffers().keys();
  names.insert(names.end(), buffers.begin(), buffers.end());
  return names;
}

struct TensorNames {
  at::Tensor tensor;
  std::vector<std::string> names;  ///< several where weights are tied
};

std::vector<TensorNames> distinct_parameters(const torch::nn::Module& module) {
  std::vector<TensorNames> result;
  std::unordered_map<const at::TensorImpl*, std::size_t> known;
  for (const auto& item : module.named_parameters()) {
    const auto [at, is_new] = known.try_emplace(item.value().unsafeGetTensorImpl(), result.size());
    if (is_new) {
      result.push_back({item.value(), {}});
    }
    result[at->second].names.push_back(item.key());
  }
  return result;
}

/// The module that holds a tensor: "layer1.0.bn1" of "layer1.0.bn1.weight".
std::string enclosing(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string::npos ? "" : name.substr(0, dot);
}

bool lies_in(const std::string& name, const std::string& module) {
  return module.empty() || name.starts_with(module + ".");
}

/// The group of the parameters beside a buffer, or else of those below the nearest enclosing
/// module that has any; nothing where these are of several groups.
std::optional<std::size_t> group_beside(const std::string& buffer,
                                        const std::vector<GroupTensors>& groups) {
  for (std::string module = enclosing(buffer);; module = enclosing(module)) {
    std::set<std::size_t> found;
    for (std::size_t group = 0; group < groups.size(); ++group) {
      for (const NamedTensor& parameter : groups[group].parameters) {
        if (lies_in(parameter.name, module)) {
          found.insert(group);
        }
      }
    }
    if (found.size() == 1) {
      return *found.begin();
    }
    if (found.size() > 1 || module.empty()) {
      return std::nullopt;
    }
  }
}

}  // namespace

std::vector<GroupTensors> resolve_groups(const torch::nn::Module& module,
                                         const std::vector<ParameterGroup>& groups) {
  Matcher matcher(groups);
  std::vector<GroupTensors> result;
  for (const ParameterGroup& group : groups) {
    result.push_back({group.name, {}, {}});
  }
  for (const TensorNames& parameter : distinct_parameters(module)) {
    std::optional<std::size_t> first;
    for (const std::string& name : parameter.names) {
      if (const auto group = matcher.group_of(name, "parameter")) {
        first = first ? std::min(*first, *group) : *group;
      }
    }
    if (!first) {
      throw InputError(fmt::format("parameter \"{}\" is in no group (groups: {})",
                                   parameter.names.front(), names_of(groups)));
    }
    result[*first].parameters.push_back({parameter.names.front(), parameter.tensor});
  }
  for (const auto& item : module.named_buffers()) {
    auto group = matcher.group_of(item.key(), "buffer");
    if (!group) {
      group = group_beside(item.key(), result);
    }
    if (!group) {
      throw InputError(fmt::format(
          "buffer \"{}\" is in no group and stands beside no group's parameters (groups: {})",
          item.key(), names_of(groups)));
    }
    result[*group].buffers.push_back({item.key(), item.value()});
  }
  matcher.require_all_used(names_of_tensors(module));
  for (const GroupTensors& group : result) {
    if (group.parameters.empty()) {
      throw InputError(fmt::format(
          "group \"{}\" holds no parameter that an earlier group does not hold", group.name));
    }
  }
  return result;
}

}  // namespace thaw
