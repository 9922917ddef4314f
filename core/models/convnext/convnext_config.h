#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/kernels/activation_kind.h"

namespace thaw {

/// The shape of a ConvNeXt, as Hugging Face's config.json gives it.
struct ConvNextConfig {
  std::vector<std::int64_t> widths;           ///< hidden_sizes, of each stage
  std::vector<std::int64_t> depths;           ///< blocks of each stage
  std::int64_t patch = 4;                     ///< patch_size, in pixels
  std::int64_t channels = 3;                  ///< num_channels
  double layer_scale = 1e-6;                  ///< layer_scale_init_value; 0: blocks have none
  double last_epsilon = 1e-12;                ///< layer_norm_eps, of the last LayerNorm alone
  double initializer_range = 0.02;            ///< deviation of random initial weights
  double path_dropout = 0;                    ///< drop_path_rate, of the last block
  Activation activation = Activation::kGelu;  ///< hidden_act

  /// Fewest pixels of an image's side: a last stage of one.
  std::int64_t smallest() const { return patch << (widths.size() - 1); }
};

/// What of it decides the network's function, by the file's names.
std::map<std::string, std::string> function_of(const ConvNextConfig& config);

/// Reads Hugging Face's config.json of a ConvNeXt. Throws InputError naming the file, the key and
/// what it should be for anything of another type, out of range, or that Thaw does not have.
ConvNextConfig read_convnext_config(const std::string& path);

}  // namespace thaw
