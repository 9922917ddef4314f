#include "launch/run/deterministic.h"

#include <ATen/Context.h>

#include <cstdlib>

namespace thaw {

std::string make_deterministic(bool on_gpu) {
  if (!on_gpu) return "";
  at::Context& context = at::globalContext();
  context.setDeterministicCuDNN(true);
  context.setBenchmarkCuDNN(false);
  // Operators that have no deterministic kernel throw, naming themselves.
  context.setDeterministicAlgorithms(true, /*warn_only=*/false);
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*replace=*/0);
  // NVLS and the tuner's choice among algorithms change the order of sums.
  setenv("NCCL_ALGO", "Ring", /*replace=*/0);
  setenv("NCCL_NVLS_ENABLE", "0", /*replace=*/0);
  return "cuDNN's choice by benchmark, kernels that add in no fixed order, cuBLAS's workspaces of "
         "free size, NCCL's algorithms but Ring";
}

}  // namespace thaw
