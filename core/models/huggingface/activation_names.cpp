#include "core/models/huggingface/activation_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <string>
#include <vector>

#include "core/models/huggingface/config_fields.h"

namespace thaw {

Activation read_activation(const ConfigFields& fields, const char* key, const char* fallback) {
  static const std::map<std::string, Activation> known = {
      {"silu", Activation::kSilu},
      {"swish", Activation::kSilu},
      {"gelu", Activation::kGelu},
      {"gelu_python", Activation::kGelu},
      {"gelu_new", Activation::kGeluTanh},
      {"gelu_fast", Activation::kGeluTanh},
      {"gelu_pytorch_tanh", Activation::kGeluTanh},
      {"relu", Activation::kRelu},
  };
  const std::string name = fields.text(key, fallback);
  const auto found = known.find(name);
  if (found == known.end()) {
    std::vector<std::string> names;
    for (const auto& entry : known) names.push_back(entry.first);
    fields.fail(key, fmt::format("is \"{}\"; Thaw has {}", name, fmt::join(names, ", ")));
  }
  return found->second;
}

const char* name_of(Activation activation) {
  switch (activation) {
    case Activation::kGelu:
      return "gelu";
    case Activation::kGeluTanh:
      return "gelu_pytorch_tanh";
    case Activation::kRelu:
      return "relu";
    case Activation::kSilu:
      return "silu";
  }
  return "";
}

}  // namespace thaw
