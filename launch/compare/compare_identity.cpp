#include "launch/compare/compare_identity.h"

#include <fmt/format.h>

#include "core/record/run_folder.h"
#include "launch/identity/kept_identity.h"
#include "launch/identity/program_identity.h"

namespace thaw {
namespace {

std::string line_of(const std::string& name, const std::string& was, const std::string& is) {
  return fmt::format("\n  {}: was {} when it began, is {} now", name, was, is);
}

}  // namespace

NamedFacts common_facts(const NamedFacts& facts) {
  NamedFacts common;
  for (const auto& [name, value] : facts) {
    const bool build = name.starts_with(fmt::format("{}: build ", kProgramSubject)) ||
                       name.starts_with(fmt::format("{}: build ", kTorchSubject));
    if (!build) common[name] = value;
  }
  return common;
}

std::string changed_facts(const NamedFacts& was, const NamedFacts& is) {
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

bool run_is_of(const std::filesystem::path& run_folder, const NamedFacts& common) {
  const std::filesystem::path kept = RunFolder(run_folder).identity();
  if (!std::filesystem::exists(kept)) return true;
  const NamedFacts was = read_kept_identity(kept).facts;
  if (was.empty()) return false;  // it is damaged
  // A run reads fewer splits than are measured.
  for (const auto& [name, value] : common) {
    const auto found = was.find(name);
    if (found != was.end() && found->second != value) return false;
  }
  return true;
}

}  // namespace thaw
