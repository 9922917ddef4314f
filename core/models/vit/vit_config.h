#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/kernels/activation_kind.h"

namespace thaw {

/// Which of the networks of this room, that differ in a few layers and in their names.
enum class VitKind {
  kVit,                  ///< Dosovitskiy et al. 2021
  kDinov2,               ///< Oquab et al. 2023: scaled branches, a head that sees patches too
  kDinov2WithRegisters,  ///< Darcet et al. 2023: tokens beside those of the patches
};

/// The shape of a vision transformer, as Hugging Face's config.json gives it.
struct VitConfig {
  VitKind kind = VitKind::kVit;               ///< model_type
  std::int64_t hidden = 0;                    ///< hidden_size
  std::int64_t layers = 0;                    ///< num_hidden_layers
  std::int64_t heads = 0;                     ///< num_attention_heads
  std::int64_t intermediate = 0;              ///< intermediate_size; of DINOv2, by mlp_ratio
  std::int64_t rows = 0;                      ///< of patches, by image_size and patch_size
  std::int64_t columns = 0;                   ///< likewise
  std::int64_t patch = 16;                    ///< patch_size, in pixels
  std::int64_t channels = 3;                  ///< num_channels
  std::int64_t registers = 0;                 ///< num_register_tokens
  bool attention_bias = true;                 ///< qkv_bias
  bool gated = false;                         ///< use_swiglu_ffn
  double layer_scale = 1;                     ///< layerscale_value, at first; of DINOv2
  double layer_norm_epsilon = 0;              ///< layer_norm_eps
  double initializer_range = 0.02;            ///< deviation of random initial weights
  double dropout = 0;                         ///< hidden_dropout_prob
  double attention_dropout = 0;               ///< attention_probs_dropout_prob
  double path_dropout = 0;                    ///< drop_path_rate, of DINOv2
  Activation activation = Activation::kGelu;  ///< hidden_act

  bool is_dinov2() const { return kind != VitKind::kVit; }
  /// Tokens of an image of so many rows and columns of patches.
  std::int64_t tokens(std::int64_t patch_rows, std::int64_t patch_columns) const {
    return 1 + registers + patch_rows * patch_columns;
  }
};

/// "vit", "dinov2", "dinov2_with_registers".
std::string model_type_of(VitKind kind);

/// What of it decides the network's function, by the file's names.
std::map<std::string, std::string> function_of(const VitConfig& config);

/// Reads Hugging Face's config.json of a ViT or DINOv2. Throws InputError naming the file, the key
/// and what it should be for anything missing, of another type, out of range, or that Thaw does not
/// have.
VitConfig read_vit_config(const std::string& path);

}  // namespace thaw
