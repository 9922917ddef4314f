#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace thaw {

class ParameterTable;

/// Fingerprints of start weights, by the group's name.
using StartFingerprints = std::map<std::string, std::string>;

// Note [How far weights have moved]
// A group that was never thawed is where it started, so nothing of it is kept. When one is thawed
// for the first time, its weights are copied to host memory: as much as the network itself takes
// once all of it was thawed, on rank 0 alone, since replicas have moved alike. A checkpoint holds
// no copy but its fingerprint: who goes on has loaded the same start weights before the
// checkpoint's, and the copy is taken from those. Where they are not the same (a program of one's
// own that starts from random weights and no seed), the distance is not known from there on, and
// not told.

/// Where each group's weights stood when training began, and how far they are from there. Belongs
/// to the training thread of rank 0.
class StartWeights {
 public:
  /// Keeps the weights, as they are now, of each group that has one of the parameters named and was
  /// never thawed before.
  void thaw(const std::set<std::string>& active, const ParameterTable& parameters);

  /// Says that the run goes on from a checkpoint that was made after groups of these fingerprints
  /// were thawed; none: by a version that did not record them. To be called before the checkpoint's
  /// weights are loaded.
  void resume(const std::optional<StartFingerprints>& recorded, const ParameterTable& parameters);

  /// Of all groups that were thawed; nothing where those are not all known.
  std::optional<StartFingerprints> fingerprints() const;

  /// ‖now − start‖ over ‖start‖ for each group, all of its parameters together; ‖now‖ where the
  /// start was zero. 0 for a group that was never thawed; nothing where it is not known. Waits for
  /// the device.
  std::vector<std::optional<double>> distances(const ParameterTable& parameters) const;

  /// Bytes of host memory that it takes.
  std::size_t bytes() const;

 private:
  struct Kept {
    std::vector<at::Tensor> tensors;  ///< on the host, in the table's order; none: not known
    double norm = 0;
    std::string fingerprint;
  };
  static Kept keep(std::size_t group, const ParameterTable& parameters);

  std::map<std::string, Kept> kept_;
  bool known_ = true;  ///< false: groups may have been thawed that `kept_` does not name
};

/// The 2-norm of each group's gradients; nothing where a group has none. This rank's own sums;
/// waits for the device.
std::vector<std::optional<double>> gradient_norms(const ParameterTable& parameters);

}  // namespace thaw
