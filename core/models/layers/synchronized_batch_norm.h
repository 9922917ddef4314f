#pragma once

#include <ATen/core/Tensor.h>

namespace thaw {

class Communicator;
struct BatchNormTraffic;
struct LossShare;

/// What one synchronised normalisation works on beside its input. All must outlive backward.
struct SynchronizedBatchNorm {
  Communicator* communicator = nullptr;  ///< null: this rank's samples alone
  at::Tensor running_mean, running_var;  ///< updated in place; undefined: there are none
  double epsilon = 0;
  double momentum = 0;
  BatchNormTraffic* traffic = nullptr;    ///< counts what is sent
  const LossShare* loss_share = nullptr;  ///< null: losses add up over the ranks as they are
};

/// Normalises `input` by mean and variance over the samples and pixels of all ranks, and updates
/// the running statistics; differentiable once, by a backward that is a collective too where
/// `input` requires a gradient. See Note [Synchronised BatchNorm].
/// Throws DisagreementError on all ranks if their running means differ (on the host; on a GPU the
/// audit finds it: Note [BatchNorm on a GPU]).
at::Tensor synchronized_batch_norm(const at::Tensor& input, const at::Tensor& weight,
                                   const at::Tensor& bias, const SynchronizedBatchNorm& settings);

}  // namespace thaw
