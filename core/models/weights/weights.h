#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/models/weights/model_description.h"
#include "core/models/weights/safetensors.h"
#include "core/models/weights/weight_naming.h"
#include "core/parallel/stage_coordinator.h"

namespace torch::nn {
class Module;
}

namespace thaw {

class Model;
struct ModelOptions;

/// The name in weight files of each of a model's tensors, by the model's own name. A tensor that
/// is not in it is written under its own name; one with the name "" is not written, and those of
/// one name are written as one tensor, one below the other (see WeightAlias).
using WeightNames = std::map<std::string, std::string>;

/// What became of a weight file's tensors.
struct LoadReport {
  WeightNames names;                 ///< so that `save_weights` writes the names that were read
  std::vector<std::string> ignored;  ///< in the file, not needed
  std::vector<std::string> initial;  ///< the model's tensors that the file did not set
};

/// Copies a file's tensors into a model's parameters and buffers, converted to the model's dtype
/// (so bring the model to float64 first, if it shall be), and says so by `weights_changed`.
///
/// Names may carry one of `naming.prefixes` and wrappers' ("module.", "_orig_mod.", "model.")
/// before it, or be another library's by `naming.aliases`; `num_batches_tracked` may be missing.
/// With `new_head`, the classification layer keeps its initial values, whatever the file has in its
/// place. Throws one InputError that lists all that is missing, unexpected, of another shape, kind,
/// or no number; the model is then untouched.
LoadReport load_weights(torch::nn::Module& module, const SafetensorsFile& file,
                        const WeightNaming& naming, bool new_head);
LoadReport load_weights(Model& model, const SafetensorsFile& file, const ModelOptions& options);

/// Writes parameters and buffers under the names in `names`, as safetensors that Python reads back
/// with `load_state_dict`: floating-point tensors in float32 whatever the source had, float64 ones
/// of a float64 model as they are; `besides`: what the file shall have and the model has no use
/// for. What the model is goes into the metadata (Note [Model descriptions]), classes of which each
/// sample has one also as a list of their own, "classes". Throws like write_safetensors.
void save_weights(const std::string& path, const torch::nn::Module& module,
                  const WeightNames& names, const ModelDescription& description,
                  const std::vector<NamedTensor>& besides = {}, Lasting lasting = Lasting::kNow);

}  // namespace thaw
