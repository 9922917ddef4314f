#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace thaw {

struct ModelOptions;

/// What help, errors and schedules need to know of a family of models: its line in
/// core/config/model_families.inc. The list stands here, below the families themselves, since that
/// takes no LibTorch; what a family computes is a room of core/models (core/models/family.h).
struct FamilyOptions {
  std::string_view name;                      ///< model.architecture
  std::string_view input_group;               ///< its first group: "embeddings"
  std::vector<std::string_view> model_types;  ///< of config.json, that mean this family
  std::vector<std::string_view> options;      ///< keys of [model] that not all families read
};

/// All families, in the order in which messages list them.
const std::vector<FamilyOptions>& model_families();

/// "bert | resnet": their names, for help.
std::string family_choices();

/// The family that networks of a config.json's `model_type` are; "" where there is none.
std::string family_of_type(std::string_view model_type);

/// "bert, llama, mistral": all that `family_of_type` knows, for messages.
std::string known_model_types();

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

/// The options of [model] besides `architecture` that decide what the network computes once it is
/// trained, by key and as text: what weights say of themselves. Any option that the family reads is
/// one, but for those about files and about training.
std::map<std::string, std::string> function_options(const ModelOptions& options);

/// Whether `[model]`'s `key` is about the head alone, so that a new one may do it otherwise.
bool is_of_the_head(std::string_view key);

/// Sets `[model]`'s `key` to what `text` says, as `function_options` has it. False where there is
/// no such option, or the text is none of its values.
bool set_from_text(ModelOptions& options, std::string_view key, const std::string& text);

}  // namespace thaw
