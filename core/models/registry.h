#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace thaw {

class Model;
struct ModelOptions;

/// What a model must know of the data that it will get.
struct InputFacts {
  enum class Kind { kText, kImages };
  Kind kind = Kind::kImages;
  std::int64_t channels = 0, height = 0, width = 0;  ///< images
  std::int64_t largest_token = -1;                   ///< text: largest id in the data
  std::int64_t longest_sample = 0;                   ///< text: tokens
};

/// Makes one architecture's model, float32, on the host, with initial values drawn from `seed`
/// (core/models/layers/initialization.h); where `options.weights` names a file that will be loaded,
/// only those that it need not hold. Throws InputError for options or data that do not fit it.
using ModelBuilder =
    std::function<std::shared_ptr<Model>(const ModelOptions& options, std::int64_t classes,
                                         const InputFacts& input, std::uint64_t seed)>;

/// The model that `options.architecture` names; its weights are not loaded yet. `seed` is
/// `train.seed`: the same on every rank, so that the initial values are.
/// Throws InputError naming the nearest architecture for an unknown one.
std::shared_ptr<Model> make_model(const ModelOptions& options, std::int64_t classes,
                                  const InputFacts& input, std::uint64_t seed);

/// Adds an architecture, or replaces one, for programs with models of their own. Thaw's are
/// listed in registry.cpp. Call before threads use the registry.
void register_model(const std::string& architecture, ModelBuilder builder);

/// All architectures, sorted.
std::vector<std::string> registered_models();

}  // namespace thaw
