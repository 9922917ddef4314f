#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace thaw {

struct ModelOptions;

/// What help, errors and schedules need to know of a family of models: its line in
/// core/config/model_families.inc. The list stands here, below the families themselves, since that
/// takes no LibTorch; what a family computes is a room of core/models (core/models/family.h).
struct FamilyOptions {
  std::string_view name;                  ///< model.architecture
  std::string_view input_group;           ///< its first group: "embeddings"
  std::vector<std::string_view> options;  ///< keys of [model] that not all families read
};

/// All families, in the order in which messages list them.
const std::vector<FamilyOptions>& model_families();

/// "bert | resnet": their names, for help.
std::string family_choices();

/// The families that read `[model]`'s `key`, "resnet, resnet-cifar"; "" where all do.
std::string families_with(std::string_view key);

/// "embeddings or stem": what families call their input group, for help.
std::string input_groups();

/// Whether a first group of this name is a model's input, which has a turn of its own in presets:
/// that of a family, or a user's group of the same name.
bool is_input_group(std::string_view name);

/// Throws InputError for an option that is not at its default and that the family
/// `options.architecture` does not read. One that is not listed (`register_family`) may read all.
void check_family_options(const ModelOptions& options);

}  // namespace thaw
