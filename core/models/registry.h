#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/models/family.h"

namespace thaw {

/// Fills in a family that [model] leaves out, by the `model_type` of the config.json that it names.
/// Call where a configuration was read, before anything asks for the family. Throws InputError
/// where that says none, or one that Thaw does not have.
void settle_architecture(ModelOptions& options);

/// The model that `options.architecture` names; its weights are not loaded yet. `seed` is
/// `train.seed`: the same on every rank, so that the initial values are.
/// Throws InputError naming the nearest family for an unknown one, for data that it does not take,
/// for rows of outputs that it does not give, and for an option of another family.
std::shared_ptr<Model> make_model(const ModelOptions& options, std::int64_t classes,
                                  const InputFacts& input, std::uint64_t seed);

/// What can be told of the data behind trained weights of a family, for `make_model` without that
/// data; not which rows are wanted. Throws InputError for an unknown family.
InputFacts trained_on(const std::string& architecture, const ShapeOfWeight& shape_of);

/// Writes a trained model for Hugging Face's transformers into `folder`, which is made. Returns
/// what the folder's users must know, as lines. Throws InputError for a family that has no export,
/// saying what serves instead.
std::string export_huggingface(const std::string& folder, const Model& model,
                               const ModelOptions& options, const ModelDescription& trained);

/// Adds a family under a name, or replaces one, for programs with models of their own; it may read
/// every option of [model]. Thaw's own are in core/config/model_families.inc. Call before threads
/// use the registry.
void register_family(const std::string& architecture, ModelFamily family);

/// The names of all families, sorted.
std::vector<std::string> registered_families();

}  // namespace thaw
