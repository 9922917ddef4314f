#include "core/models/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/config/configuration.h"
#include "core/models/bert/bert.h"
#include "core/models/model.h"
#include "core/models/resnet/resnet.h"

namespace thaw {
namespace {

/// Thaw's own architectures: a new one is its file and a line here. (Registration by a static
/// object in the model's file would be lost when the linker takes only what is used from a static
/// library.)
std::map<std::string, ModelBuilder>& builders() {
  static std::map<std::string, ModelBuilder> map = {
      {"bert", make_bert},
      {"resnet", make_resnet},
      {"resnet-cifar", make_cifar_resnet},
  };
  return map;
}

}  // namespace

std::shared_ptr<Model> make_model(const ModelOptions& options, std::int64_t classes,
                                  const InputFacts& input, std::uint64_t seed) {
  const auto found = builders().find(options.architecture);
  if (found == builders().end()) {
    const std::vector<std::string> known = registered_models();
    const std::string nearest = nearest_name(options.architecture, known);
    throw InputError(fmt::format(
        "model.architecture: there is no \"{}\"{} (known: {})", options.architecture,
        nearest.empty() ? "" : fmt::format("; is \"{}\" meant?", nearest), fmt::join(known, ", ")));
  }
  if (classes < 1) {
    throw InputError(fmt::format("a model for {} classes", classes));
  }
  return found->second(options, classes, input, seed);
}

void register_model(const std::string& architecture, ModelBuilder builder) {
  builders()[architecture] = std::move(builder);
}

std::vector<std::string> registered_models() {
  std::vector<std::string> names;
  for (const auto& [name, builder] : builders()) {
    names.push_back(name);
  }
  return names;
}

}  // namespace thaw
