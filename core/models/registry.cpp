#include "core/models/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <utility>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/config/configuration.h"
#include "core/config/model_families.h"

namespace thaw {

#define THAW_MODEL_FAMILY(room, ...) ModelFamily room##_family();
#include "core/config/model_families.inc"
#undef THAW_MODEL_FAMILY

namespace {

/// By name. (Registration by a static object in the family's file would be lost when the linker
/// takes only what is used from a static library.)
std::map<std::string, ModelFamily>& families() {
  static std::map<std::string, ModelFamily> map = {
#define THAW_MODEL_FAMILY(room, name, ...) {name, room##_family()},
#include "core/config/model_families.inc"
#undef THAW_MODEL_FAMILY
  };
  return map;
}

const ModelFamily& family_of(const std::string& architecture) {
  const auto found = families().find(architecture);
  if (found == families().end()) {
    const std::vector<std::string> known = registered_families();
    const std::string nearest = nearest_name(architecture, known);
    throw InputError(fmt::format(
        "model.architecture: there is no \"{}\"{} (known: {})", architecture,
        nearest.empty() ? "" : fmt::format("; is \"{}\" meant?", nearest), fmt::join(known, ", ")));
  }
  return found->second;
}

const char* name_of(InputFacts::Kind kind) {
  return kind == InputFacts::Kind::kText ? "text" : "images";
}

}  // namespace

std::shared_ptr<Model> make_model(const ModelOptions& options, std::int64_t classes,
                                  const InputFacts& input, std::uint64_t seed) {
  const ModelFamily& family = family_of(options.architecture);
  if (classes < 1) {
    throw InputError(fmt::format("a model for {} classes", classes));
  }
  if (input.kind != family.takes) {
    throw InputError(fmt::format("model.architecture = \"{}\" takes {}, and the data is {}",
                                 options.architecture, name_of(family.takes), name_of(input.kind)));
  }
  check_family_options(options);
  return family.make(options, classes, input, seed);
}

InputFacts trained_on(const std::string& architecture, const ShapeOfWeight& shape_of) {
  const ModelFamily& family = family_of(architecture);
  return family.trained_on ? family.trained_on(shape_of) : InputFacts{.kind = family.takes};
}

std::string export_huggingface(const std::string& folder, const Model& model,
                               const ModelOptions& options, const ModelDescription& trained) {
  const ModelFamily& family = family_of(options.architecture);
  if (!family.export_huggingface) {
    throw InputError(fmt::format("\"{}\" is not exported to transformers{}{}", options.architecture,
                                 family.instead_of_export.empty() ? "" : "; ",
                                 family.instead_of_export));
  }
  return family.export_huggingface(folder, model, options, trained);
}

void register_family(const std::string& architecture, ModelFamily family) {
  families()[architecture] = std::move(family);
}

std::vector<std::string> registered_families() {
  std::vector<std::string> names;
  for (const auto& [name, family] : families()) {
    names.push_back(name);
  }
  return names;
}

}  // namespace thaw
