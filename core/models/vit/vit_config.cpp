#include "core/models/vit/vit_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <utility>
#include <vector>

#include "core/models/huggingface/activation_names.h"
#include "core/models/huggingface/config_fields.h"

namespace thaw {
namespace {

constexpr std::array<std::pair<const char*, VitKind>, 3> kKinds = {{
    {"vit", VitKind::kVit},
    {"dinov2", VitKind::kDinov2},
    {"dinov2_with_registers", VitKind::kDinov2WithRegisters},
}};

VitKind kind_of(const ConfigFields& fields) {
  const std::string type = fields.text("model_type", "vit");
  for (const auto& [name, kind] : kKinds) {
    if (type == name) return kind;
  }
  fields.fail("model_type", fmt::format("is \"{}\"; Thaw's architecture \"vit\" reads vit, dinov2, "
                                        "dinov2_with_registers",
                                        type));
}

/// Rows and columns of patches.
void read_patches(const ConfigFields& fields, VitConfig& config) {
  const std::vector<std::int64_t> patch =
      fields.sizes("patch_size", {config.kind == VitKind::kDinov2 ? 14 : 16});
  if (patch.empty() || patch.front() != patch.back()) {
    fields.fail("patch_size",
                fmt::format("is [{}]; Thaw has square patches", fmt::join(patch, ", ")));
  }
  config.patch = patch.front();
  const std::vector<std::int64_t> image = fields.sizes("image_size", {224});
  if (image.empty() || image.size() > 2 || image.front() < config.patch ||
      image.back() < config.patch) {
    fields.fail("image_size", fmt::format("is [{}]; it must be a height and a width of at least a "
                                          "patch, {} (or one number for both)",
                                          fmt::join(image, ", "), config.patch));
  }
  config.rows = image.front() / config.patch;
  config.columns = image.back() / config.patch;
}

/// DINOv2 gives its layers' width as a multiple, and rounds that of gated ones.
std::int64_t dinov2_width(const ConfigFields& fields, const VitConfig& config) {
  constexpr double kMost = 1e4;
  const double ratio = fields.number("mlp_ratio", 4, 0, kMost);
  auto width = static_cast<std::int64_t>(static_cast<double>(config.hidden) * ratio);
  if (config.gated) {
    width = (static_cast<std::int64_t>(static_cast<double>(width * 2) / 3) + 7) / 8 * 8;
  }
  if (width < 1) fields.fail("mlp_ratio", fmt::format("is {}: no layer is that narrow", ratio));
  return width;
}

void require_sane(const ConfigFields& fields, const VitConfig& config) {
  fields.require_divisor("num_attention_heads", config.heads, "hidden_size", config.hidden);
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  const double width = number(config.intermediate) * (config.gated ? 3 : 2);
  const double parameters =
      number(config.hidden) *
      (number(config.rows) * number(config.columns) + number(config.registers) +
       number(config.channels) * number(config.patch) * number(config.patch) +
       number(config.layers) * (4 * number(config.hidden) + width));
  fields.require_sane("num_hidden_layers", config.layers, "hidden_size", parameters);
}

}  // namespace

std::string model_type_of(VitKind kind) { return kKinds.at(static_cast<std::size_t>(kind)).first; }

std::map<std::string, std::string> function_of(const VitConfig& config) {
  const auto flag = [](bool value) { return std::string(value ? "true" : "false"); };
  std::map<std::string, std::string> function = {
      {"model_type", model_type_of(config.kind)},
      {"hidden_act", config.gated ? "silu" : name_of(config.activation)},
      {"hidden_size", std::to_string(config.hidden)},
      {"intermediate_size", std::to_string(config.intermediate)},
      {"layer_norm_eps", fmt::format("{}", config.layer_norm_epsilon)},
      {"num_attention_heads", std::to_string(config.heads)},
      {"num_channels", std::to_string(config.channels)},
      {"num_hidden_layers", std::to_string(config.layers)},
      {"patch_rows", std::to_string(config.rows)},
      {"patch_columns", std::to_string(config.columns)},
      {"patch_size", std::to_string(config.patch)},
      {"qkv_bias", flag(config.attention_bias)}};
  if (config.is_dinov2()) function["use_swiglu_ffn"] = flag(config.gated);
  if (config.registers > 0) function["num_register_tokens"] = std::to_string(config.registers);
  return function;
}

VitConfig read_vit_config(const std::string& path) {
  const ConfigFields fields(path, "vision transformer");
  VitConfig config;
  config.kind = kind_of(fields);
  config.hidden = fields.size("hidden_size", 768);
  config.layers = fields.size("num_hidden_layers", 12);
  config.heads = fields.size("num_attention_heads", 12);
  config.channels = fields.size("num_channels", 3);
  config.attention_bias = fields.flag("qkv_bias", true);
  config.layer_norm_epsilon =
      fields.number("layer_norm_eps", config.is_dinov2() ? 1e-6 : 1e-12, 0, 1);
  config.initializer_range = fields.number("initializer_range", 0.02, 0, 1e6);
  config.dropout = fields.number("hidden_dropout_prob", 0, 0, 1);
  config.attention_dropout = fields.number("attention_probs_dropout_prob", 0, 0, 1);
  config.activation = read_activation(fields, "hidden_act", "gelu");
  read_patches(fields, config);
  if (config.is_dinov2()) {
    config.gated = fields.flag("use_swiglu_ffn");
    config.layer_scale = fields.number("layerscale_value", 1, -1e6, 1e6);
    config.path_dropout = fields.number("drop_path_rate", 0, 0, 1);
    config.intermediate = dinov2_width(fields, config);
  } else {
    config.intermediate = fields.size("intermediate_size", 3072);
  }
  if (config.kind == VitKind::kDinov2WithRegisters) {
    config.registers = fields.size("num_register_tokens", 4);
  }
  require_sane(fields, config);
  return config;
}

}  // namespace thaw
