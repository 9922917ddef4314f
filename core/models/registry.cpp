#include "core/models/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/base/text_bytes.h"
#include "core/config/configuration.h"
#include "core/config/model_families.h"
#include "core/models/huggingface/config_fields.h"

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

const char* in_words(OutputRows rows) {
  switch (rows) {
    case OutputRows::kSamples:
      return "outputs for each sample";
    case OutputRows::kTokens:
      return "outputs for each token";
    case OutputRows::kNextTokens:
      return "probabilities of each next token";
  }
  return "";
}

bool gives(const ModelFamily& family, OutputRows rows) {
  return std::find(family.gives.begin(), family.gives.end(), rows) != family.gives.end();
}

/// Says which families would do, of those that take the same data.
[[noreturn]] void refuse_rows(const std::string& architecture, const ModelFamily& family,
                              OutputRows wanted) {
  std::vector<std::string> given;
  for (const OutputRows rows : family.gives) given.emplace_back(in_words(rows));
  std::vector<std::string> others;
  for (const auto& [name, other] : families()) {
    if (other.takes == family.takes && gives(other, wanted)) others.push_back(name);
  }
  throw InputError(fmt::format(
      "model.architecture = \"{}\" gives {}, and what is learnt (task.kind, or the data) takes "
      "{}{}",
      architecture, fmt::join(given, " or "), in_words(wanted),
      others.empty() ? "" : fmt::format("; these give them: {}", fmt::join(others, ", "))));
}

}  // namespace

void settle_architecture(ModelOptions& options) {
  if (!options.architecture.empty()) return;
  if (options.config.empty()) {
    throw InputError(fmt::format(
        "model.architecture: missing; the configuration must say it ({}), or name a config.json "
        "(model.config) that does",
        family_choices()));
  }
  const std::string type = model_type_of(options.config);
  options.architecture = family_of_type(type);
  if (!options.architecture.empty()) return;
  throw InputError(
      fmt::format("model.config: {}: model_type is \"{}\", of which Thaw has no "
                  "family (it knows {})",
                  options.config, printable(type), known_model_types()));
}

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
  if (!gives(family, input.rows)) refuse_rows(options.architecture, family, input.rows);
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
