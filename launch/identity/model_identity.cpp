#include "launch/identity/model_identity.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/json_text.h"
#include "core/base/text_bytes.h"
#include "core/checkpoint/durable_file.h"
#include "core/config/configuration_document.h"
#include "core/config/option_table.h"
#include "core/models/model.h"
#include "core/parallel/agreement.h"
#include "core/parallel/stage_coordinator.h"

namespace thaw {
namespace {

/// Files and folders, whose content is compared where it counts, and what a host may have of its
/// own.
constexpr const char* kOfOneRank[] = {
    "model.weights",   "model.config",    "model.tokenizer",   "data.file",
    "data.cache",      "data.read-ahead", "train.threads",     "output.run-dir",
    "output.progress", "retention.data",  "retention.weights",
};

/// Who wrote the file, and from what.
bool tells_origin(const std::string& key) {
  return key.starts_with("_") || key == "transformers_version";
}

void add_weights(const std::vector<NamedTensor>& tensors, const std::vector<std::string>& initial,
                 Facts& facts) {
  for (const auto& [name, tensor] : tensors) {
    if (std::find(initial.begin(), initial.end(), name) != initial.end()) continue;
    const at::Tensor whole = tensor.detach().cpu().contiguous();
    facts.push_back({fmt::format("{}: {}", kWeightsSubject, printable(name)), "content",
                     fingerprint(whole.const_data_ptr(), whole.nbytes()).hex()});
  }
}

}  // namespace

Facts configuration_facts(const ConfigurationDocument& document) {
  Facts facts;
  for (const Option& option : option_table()) {
    const std::string name = option.name();
    if (std::find(std::begin(kOfOneRank), std::end(kOfOneRank), name) != std::end(kOfOneRank)) {
      continue;
    }
    facts.push_back({"", name, fact_value(toml_text(option.get(document)))});
  }
  for (const Override& flag : document.stage_overrides) {
    facts.push_back({"", printable(flag.key), fact_value(flag.value)});
  }
  return facts;
}

Facts config_file_facts(const std::string& path) {
  constexpr std::uint64_t kLongest = 1 << 30;
  const std::string text = read_small_file(path, kLongest);
  const auto json = json_is_deeper(text)
                        ? nlohmann::json()
                        : nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return {{kConfigSubject, "content", fingerprint(text).hex()}};
  Facts facts;
  for (const auto& [key, value] : json.items()) {
    if (tells_origin(key)) continue;
    facts.push_back({kConfigSubject, printable(key),
                     fact_value(value.dump(-1, ' ', /*ensure_ascii=*/true,
                                           nlohmann::json::error_handler_t::replace))});
  }
  return facts;
}

Facts tensor_facts(const Model& model) {
  return replica_facts(named_parameters(model), named_buffers(model));
}

Facts group_facts(const Model& model) {
  Facts facts;
  for (const ParameterGroup& group : model.freezing_groups()) {
    facts.push_back({"group " + printable(group.name), "parameters",
                     fact_value(fmt::format("{}", fmt::join(group.patterns, " ")))});
  }
  return facts;
}

Facts weight_facts(const Model& model, const std::vector<std::string>& initial) {
  Facts facts;
  add_weights(named_parameters(model), initial, facts);
  add_weights(named_buffers(model), initial, facts);
  return facts;
}

std::vector<std::string> names_of_tensors(const Model& model) {
  std::vector<std::string> names;
  for (const NamedTensor& each : named_parameters(model)) names.push_back(each.name);
  for (const NamedTensor& each : named_buffers(model)) names.push_back(each.name);
  return names;
}

Fact summed_up(const std::string& subject, const std::string& what, const Facts& facts) {
  return {subject, what, fingerprint(encode(facts)).hex()};
}

}  // namespace thaw
