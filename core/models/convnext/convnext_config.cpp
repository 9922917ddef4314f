#include "core/models/convnext/convnext_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/models/huggingface/activation_names.h"
#include "core/models/huggingface/config_fields.h"

namespace thaw {
namespace {

/// With this many, each halving its image, no image is large enough.
constexpr std::size_t kMostStages = 12;

void require_sane(const ConfigFields& fields, const ConvNextConfig& config) {
  constexpr double kKernel = 49;
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  double parameters = number(config.channels) * number(config.patch) * number(config.patch) *
                      number(config.widths.front());
  std::int64_t blocks = 0;
  for (std::size_t i = 0; i < config.widths.size(); ++i) {
    const double width = number(config.widths[i]);
    parameters += number(config.depths[i]) * width * (8 * width + kKernel);
    if (i > 0) parameters += 4 * number(config.widths[i - 1]) * width;
    blocks += config.depths[i];
  }
  fields.require_sane("depths", blocks, "hidden_sizes", parameters);
}

}  // namespace

std::map<std::string, std::string> function_of(const ConvNextConfig& config) {
  return {{"depths", fmt::format("{}", fmt::join(config.depths, " "))},
          {"hidden_act", name_of(config.activation)},
          {"hidden_sizes", fmt::format("{}", fmt::join(config.widths, " "))},
          {"layer_norm_eps", fmt::format("{}", config.last_epsilon)},
          {"num_channels", std::to_string(config.channels)},
          {"patch_size", std::to_string(config.patch)}};
}

ConvNextConfig read_convnext_config(const std::string& path) {
  const ConfigFields fields(path, "ConvNeXt");
  const std::string type = fields.text("model_type", "convnext");
  if (type != "convnext") {
    fields.fail(
        "model_type",
        fmt::format("is \"{}\"; Thaw's architecture \"convnext\" reads \"convnext\"", type));
  }
  ConvNextConfig config;
  config.widths = fields.sizes("hidden_sizes", {96, 192, 384, 768});
  config.depths = fields.sizes("depths", {3, 3, 9, 3});
  const auto stages = static_cast<std::int64_t>(config.widths.size());
  if (config.widths.empty() || config.widths.size() > kMostStages ||
      config.depths.size() != config.widths.size() || fields.size("num_stages", stages) != stages) {
    fields.fail(
        "hidden_sizes",
        fmt::format("has {} numbers and \"depths\" {}; there must be one a stage, of which "
                    "num_stages says {}",
                    config.widths.size(), config.depths.size(), fields.size("num_stages", 4)));
  }
  config.patch = fields.size("patch_size", 4);
  config.channels = fields.size("num_channels", 3);
  config.layer_scale = fields.number("layer_scale_init_value", 1e-6, 0, 1e6);
  config.last_epsilon = fields.number("layer_norm_eps", 1e-12, 0, 1);
  config.initializer_range = fields.number("initializer_range", 0.02, 0, 1e6);
  config.path_dropout = fields.number("drop_path_rate", 0, 0, 1);
  config.activation = read_activation(fields, "hidden_act", "gelu");
  require_sane(fields, config);
  return config;
}

}  // namespace thaw
