#include "core/schedule/stage_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>

#include "core/base/error.h"
#include "core/config/optimizers.h"

namespace thaw {
namespace {

constexpr const char* kKeys[] = {"frozen-dropout", "frozen-batch-norm", "weight-decay", "beta1",
                                 "beta2",          "epsilon",           "momentum",     "clip-norm",
                                 "label-smoothing"};

[[noreturn]] void refuse(const Stage& stage, const std::string& key, const std::string& why) {
  throw InputError(fmt::format("stage \"{}\": {}: {}", stage.name, key, why));
}

const Option& option_of(const Stage& stage, const std::string& key) {
  std::vector<std::string> keys;
  for (const Option* option : stage_options()) {
    if (option->key == key) return *option;
    keys.push_back(option->key);
  }
  refuse(stage, key,
         fmt::format("no option that a stage may override ({})", fmt::join(keys, ", ")));
}

}  // namespace

const std::vector<const Option*>& stage_options() {
  static const std::vector<const Option*> options = [] {
    std::vector<const Option*> found;
    for (const char* key : kKeys) found.push_back(find_option("train", key));
    return found;
  }();
  return options;
}

TrainOptions resolve(const TrainOptions& train, const Stage& stage) {
  ConfigurationDocument document;
  document.configuration.train = with_own_defaults(train);
  for (const auto& [key, value] : stage.overrides) {
    const Option& option = option_of(stage, key);
    const std::string wrong = objection_to(option, value);
    if (!wrong.empty()) refuse(stage, key, wrong);
    option.set(document, value);
  }
  return document.configuration.train;
}

}  // namespace thaw
