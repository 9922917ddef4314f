#pragma once

#include <map>
#include <string>

namespace at {
class Tensor;
}

namespace thaw {

class Model;
class ParameterTable;
class StagePlan;

/// Copies of what a stage changes (its active weights, and all buffers) as they were at its best
/// evaluation, to be put back at its end.
///
/// Which evaluation is the best follows from agreed metrics, so all ranks copy and put back the
/// same step's; the copies themselves are each rank's own. Belongs to the training thread.
class StageBest {
 public:
  StageBest();
  ~StageBest();

  /// Keeps the values of now, in place of what was kept before.
  void keep(const StagePlan& plan, const ParameterTable& parameters, Model& model);
  /// Puts back what was kept, and forgets it. False where nothing was.
  bool put_back(const ParameterTable& parameters, Model& model);

  /// What is kept, by the names of parameters and buffers: what a checkpoint within the stage
  /// holds.
  const std::map<std::string, at::Tensor>& tensors() const { return tensors_; }
  void restore(std::map<std::string, at::Tensor> tensors);

 private:
  std::map<std::string, at::Tensor> tensors_;
};

}  // namespace thaw
