#include "launch/compare/compare_identity.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "core/record/run_folder.h"
#include "launch/identity/kept_identity.h"
#include "launch/identity/program_identity.h"

namespace thaw {
namespace {

using Values = std::map<std::pair<std::string, std::string>, std::string>;

Values values_by_name(const Facts& facts) {
  Values values;
  for (const Fact& fact : facts) values[{fact.subject, fact.what}] = fact.value;
  return values;
}

std::string line_of(const std::pair<std::string, std::string>& name, const std::string& was,
                    const std::string& is) {
  return fmt::format("\n  {}: {}: was {} when it began, is {} now", name.first, name.second, was,
                     is);
}

}  // namespace

Facts common_facts(const Facts& facts) {
  Facts common;
  for (const Fact& fact : facts) {
    const bool program = fact.subject == kProgramSubject || fact.subject == kTorchSubject;
    if (!program || fact.what == "version") common.push_back(fact);
  }
  return common;
}

std::string changed_facts(const Facts& before, const Facts& now) {
  const Values was = values_by_name(before);
  const Values is = values_by_name(now);
  std::string text;
  for (const auto& [name, value] : was) {
    const auto found = is.find(name);
    if (found == is.end()) {
      text += line_of(name, value, "gone");
    } else if (found->second != value) {
      text += line_of(name, value, found->second);
    }
  }
  for (const auto& [name, value] : is) {
    if (!was.contains(name)) text += line_of(name, "not there", value);
  }
  return text;
}

bool run_is_of(const std::filesystem::path& run_folder, const Facts& common) {
  const std::filesystem::path kept = RunFolder(run_folder).identity();
  if (!std::filesystem::exists(kept)) return true;
  const Values was = values_by_name(read_kept_identity(kept).facts);
  if (was.empty()) return false;  // it is damaged
  // A run reads fewer splits than are measured.
  for (const Fact& fact : common) {
    const auto found = was.find({fact.subject, fact.what});
    if (found != was.end() && found->second != fact.value) return false;
  }
  return true;
}

}  // namespace thaw
