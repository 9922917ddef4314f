#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace thaw {

class ConfigFields;

/// How a token's place becomes the angles by which heads are rotated (Su et al. 2021), as Hugging
/// Face's config.json gives it: `rope_theta` and `rope_scaling`, or, since transformers 5,
/// `rope_parameters`.
struct RotaryConfig {
  enum class Kind {
    kDefault,  ///< angles theta^(-2 i / size) a place
    kLinear,   ///< of places divided by `factor` (Chen et al. 2023)
    kLlama3,   ///< slow angles divided by it, fast ones not (Llama 3.1)
    kYarn,     ///< likewise, with a ramp between, and longer vectors (Peng et al. 2023)
  };
  Kind kind = Kind::kDefault;
  double theta = 10000;
  double factor = 1;            ///< by which the context was extended
  double original_longest = 0;  ///< llama3, yarn: the context that came before
  double low_frequency_factor = 1, high_frequency_factor = 4;  ///< llama3
  double beta_fast = 32, beta_slow = 1;                        ///< yarn
  bool truncate = true;                                        ///< yarn: the ramp's ends are whole
  double vector_scale = 1;                                     ///< yarn: of cosines and sines
};

/// Reads it from a config.json whose `max_position_embeddings` is `longest`. Throws InputError for
/// what is missing or out of range, and, by its name, for another kind.
RotaryConfig read_rotary_config(const ConfigFields& fields, std::int64_t longest);

/// What of it decides a network's function, by names of config.json.
std::map<std::string, std::string> function_of(const RotaryConfig& config);

}  // namespace thaw
