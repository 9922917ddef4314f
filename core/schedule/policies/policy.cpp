#include "core/schedule/policies/policy.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/config/toml_text.h"

namespace thaw {

#define THAW_POLICY(name) PolicyKind name##_policy();
#include "core/schedule/policies/policies.inc"
#undef THAW_POLICY

const std::vector<PolicyKind>& policy_kinds() {
  static const std::vector<PolicyKind> kinds = {
#define THAW_POLICY(name) name##_policy(),
#include "core/schedule/policies/policies.inc"
#undef THAW_POLICY
  };
  return kinds;
}

std::vector<std::string> Policy::chosen_among(const std::vector<std::string>& groups) const {
  std::vector<std::string> chosen;
  for (const std::string& group : groups) {
    if (std::find(always().begin(), always().end(), group) == always().end()) {
      chosen.push_back(group);
    }
  }
  return chosen;
}

std::string toml_text(const Policy& policy) {
  return fmt::format("{{ kind = \"{}\", every-steps = {}, always = {}{} }}", policy.name(),
                     policy.every_steps(), toml_text(policy.always()), policy.own_toml());
}

bool equal(const Policy& a, const Policy& b) { return toml_text(a) == toml_text(b); }

}  // namespace thaw
