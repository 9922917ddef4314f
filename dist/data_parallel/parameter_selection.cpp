#include "dist/data_parallel/parameter_selection.h"

#include <fmt/format.h>

#include <unordered_map>

#include "core/base/error.h"
#include "core/base/glob.h"
#include "core/base/suggest.h"

namespace thaw {

namespace {

/// "encoder.0.weight" itself, then "encoder.0" and "encoder".
std::vector<std::string> names_to_match(const std::string& parameter) {
  std::vector<std::string> names = {parameter};
  for (std::size_t dot = parameter.rfind('.'); dot != std::string::npos && dot > 0;
       dot = parameter.rfind('.', dot - 1)) {
    names.push_back(parameter.substr(0, dot));
  }
  return names;
}

bool matches(const std::string& pattern, const std::string& parameter) {
  for (const std::string& name : names_to_match(parameter)) {
    if (pattern == name || glob_match(pattern, name)) return true;
  }
  return false;
}

[[noreturn]] void refuse(const std::string& pattern, std::span<const NamedTensor> parameters) {
  std::set<std::string> known;
  for (const NamedTensor& parameter : parameters) {
    for (const std::string& name : names_to_match(parameter.name)) known.insert(name);
  }
  const std::string nearest = nearest_name(pattern, {known.begin(), known.end()});
  throw InputError(fmt::format("activate: \"{}\" matches no parameter and no module{}", pattern,
                               nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?"));
}

void refuse_split_ties(std::span<const NamedTensor> parameters,
                       const std::set<std::string>& selected) {
  std::unordered_map<const void*, const std::string*> name_of;
  for (const NamedTensor& parameter : parameters) {
    const auto [first, is_new] =
        name_of.try_emplace(parameter.tensor.unsafeGetTensorImpl(), &parameter.name);
    if (is_new || selected.contains(*first->second) == selected.contains(parameter.name)) continue;
    const bool first_is_active = selected.contains(*first->second);
    throw InputError(fmt::format(
        "activate: parameters \"{}\" and \"{}\" are one tensor (tied weights), of which the "
        "patterns name only \"{}\": name both, or neither",
        *first->second, parameter.name, first_is_active ? *first->second : parameter.name));
  }
}

}  // namespace

std::set<std::string> select_parameters(std::span<const NamedTensor> parameters,
                                        const std::vector<std::string>& patterns) {
  std::set<std::string> selected;
  for (const std::string& pattern : patterns) {
    bool any = false;
    for (const NamedTensor& parameter : parameters) {
      if (!matches(pattern, parameter.name)) continue;
      selected.insert(parameter.name);
      any = true;
    }
    if (!any) refuse(pattern, parameters);
  }
  refuse_split_ties(parameters, selected);
  return selected;
}

}  // namespace thaw
