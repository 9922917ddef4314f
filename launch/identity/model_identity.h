#pragma once

#include <string>
#include <vector>

#include "core/base/fact.h"

namespace thaw {

class Model;
struct ConfigurationDocument;

/// The options of a configuration with their values, but for those that name where something lies
/// or how fast it comes there: these may differ from rank to rank.
Facts configuration_facts(const ConfigurationDocument& document);

/// What config.json says, key by key, however it is laid out: all that decides which network it is.
/// Keys that only tell where it came from do not count. A file that is no JSON is one fact. Throws
/// InputError where it cannot be read.
Facts config_file_facts(const std::string& path);

/// Names, order, shapes and types of a model's parameters and buffers.
Facts tensor_facts(const Model& model);

/// What freezes and thaws as one.
Facts group_facts(const Model& model);

/// The content of each of a model's tensors, as it was loaded: all but those named in `initial`,
/// which were drawn.
Facts weight_facts(const Model& model, const std::vector<std::string>& initial);

/// The names of all of a model's tensors.
std::vector<std::string> names_of_tensors(const Model& model);

/// Facts as one: of the same subject, their fingerprint.
Fact summed_up(const std::string& subject, const std::string& what, const Facts& facts);

inline constexpr const char* kConfigSubject = "model.config";
inline constexpr const char* kWeightsSubject = "model.weights";
inline constexpr const char* kModelSubject = "model";

}  // namespace thaw
