// cuDNN's functions for convolutions and batch normalisation, those that LibTorch calls with
// TORCH_CUDNN_V8_API_DISABLED=1. Descriptors are handles without content, work is noted.

#include <cudnn.h>

#include <unordered_map>

#include "tests/null_gpu/libraries.h"

using null_gpu::make_handle;
using null_gpu::reads;
using null_gpu::writes;

// cuDNN's signatures are long; what they take is mostly of no interest here.
using Handle = cudnnHandle_t;
using Tensor = const cudnnTensorDescriptor_t;
using Filter = const cudnnFilterDescriptor_t;
using Convolution = const cudnnConvolutionDescriptor_t;
using Activation = const cudnnActivationDescriptor_t;
using Scale = const void*;
using In = const void*;
using Out = void*;

namespace {

constexpr cudnnStatus_t kFine = CUDNN_STATUS_SUCCESS;

std::unordered_map<Handle, cudaStream_t>& streams() {
  static auto* map = new std::unordered_map<Handle, cudaStream_t>;
  return *map;
}

cudnnStatus_t work(Handle handle, const char* name, std::vector<null_gpu::MemoryUse> uses) {
  cudaStream_t stream = nullptr;
  {
    const auto lock = null_gpu::Devices::get().lock();
    stream = streams()[handle];
  }
  const char* kind = name[0] == 'c' ? "convolution" : "batch norm";
  return null_gpu::queue_work(stream, kind, name, std::move(uses)) == cudaSuccess
             ? kFine
             : CUDNN_STATUS_EXECUTION_FAILED;
}

/// The one algorithm there is.
template <class Performance>
cudnnStatus_t one(int* count, Performance* performance) {
  *performance = {};
  performance->determinism = CUDNN_DETERMINISTIC;
  performance->mathType = CUDNN_FMA_MATH;  // what LibTorch insists on where TF32 is off
  *count = 1;
  return kFine;
}

cudnnStatus_t none(std::size_t* bytes) {
  *bytes = 0;
  return kFine;
}

}  // namespace

extern "C" {

std::size_t cudnnGetVersion() { return CUDNN_VERSION; }
std::size_t cudnnGetCudartVersion() { return 13000; }
cudnnStatus_t cudnnCreate(Handle* handle) { return make_handle(handle), kFine; }
cudnnStatus_t cudnnDestroy(Handle) { return kFine; }
cudnnStatus_t cudnnSetStream(Handle handle, cudaStream_t stream) {
  const auto lock = null_gpu::Devices::get().lock();
  streams()[handle] = stream;
  return kFine;
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* made) {
  return make_handle(made), kFine;
}
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t) { return kFine; }
cudnnStatus_t cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t, cudnnDataType_t, int, const int*,
                                         const int*) {
  return kFine;
}
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* made) {
  return make_handle(made), kFine;
}
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t) { return kFine; }
cudnnStatus_t cudnnSetFilterNdDescriptor(cudnnFilterDescriptor_t, cudnnDataType_t,
                                         cudnnTensorFormat_t, int, const int*) {
  return kFine;
}
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* made) {
  return make_handle(made), kFine;
}
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t) { return kFine; }
cudnnStatus_t cudnnSetConvolutionNdDescriptor(cudnnConvolutionDescriptor_t, int, const int*,
                                              const int*, const int*, cudnnConvolutionMode_t,
                                              cudnnDataType_t) {
  return kFine;
}
cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t, int) { return kFine; }
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t, cudnnMathType_t) {
  return kFine;
}

// Which algorithm: by heuristics, and by trying out (cudnn.benchmark).

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(Handle, Tensor, Filter, Convolution, Tensor,
                                                     int, int* count,
                                                     cudnnConvolutionFwdAlgoPerf_t* found) {
  return one(count, found);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(
    Handle, Filter, Tensor, Convolution, Tensor, int, int* count,
    cudnnConvolutionBwdDataAlgoPerf_t* found) {
  return one(count, found);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(
    Handle, Tensor, Tensor, Convolution, Filter, int, int* count,
    cudnnConvolutionBwdFilterAlgoPerf_t* found) {
  return one(count, found);
}
cudnnStatus_t cudnnFindConvolutionForwardAlgorithmEx(Handle, Tensor, In, Filter, In, Convolution,
                                                     Tensor, Out, int, int* count,
                                                     cudnnConvolutionFwdAlgoPerf_t* found, Out,
                                                     std::size_t) {
  return one(count, found);
}
cudnnStatus_t cudnnFindConvolutionBackwardDataAlgorithmEx(Handle, Filter, In, Tensor, In,
                                                          Convolution, Tensor, Out, int, int* count,
                                                          cudnnConvolutionBwdDataAlgoPerf_t* found,
                                                          Out, std::size_t) {
  return one(count, found);
}
cudnnStatus_t cudnnFindConvolutionBackwardFilterAlgorithmEx(
    Handle, Tensor, In, Tensor, In, Convolution, Filter, Out, int, int* count,
    cudnnConvolutionBwdFilterAlgoPerf_t* found, Out, std::size_t) {
  return one(count, found);
}
cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(Handle, Tensor, Filter, Convolution, Tensor,
                                                      cudnnConvolutionFwdAlgo_t,
                                                      std::size_t* bytes) {
  return none(bytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(Handle, Filter, Tensor, Convolution,
                                                           Tensor, cudnnConvolutionBwdDataAlgo_t,
                                                           std::size_t* bytes) {
  return none(bytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(Handle, Tensor, Tensor, Convolution,
                                                             Filter,
                                                             cudnnConvolutionBwdFilterAlgo_t,
                                                             std::size_t* bytes) {
  return none(bytes);
}

// Convolutions.

cudnnStatus_t cudnnConvolutionForward(Handle handle, Scale, Tensor, In x, Filter, In w, Convolution,
                                      cudnnConvolutionFwdAlgo_t, Out, std::size_t, Scale, Tensor,
                                      Out y) {
  return work(handle, "convolution", {reads(x), reads(w), writes(y)});
}
cudnnStatus_t cudnnConvolutionBackwardData(Handle handle, Scale, Filter, In w, Tensor, In dy,
                                           Convolution, cudnnConvolutionBwdDataAlgo_t, Out,
                                           std::size_t, Scale, Tensor, Out dx) {
  return work(handle, "convolution backward, data", {reads(w), reads(dy), writes(dx)});
}
cudnnStatus_t cudnnConvolutionBackwardFilter(Handle handle, Scale, Tensor, In x, Tensor, In dy,
                                             Convolution, cudnnConvolutionBwdFilterAlgo_t, Out,
                                             std::size_t, Scale, Filter, Out dw) {
  return work(handle, "convolution backward, filter", {reads(x), reads(dy), writes(dw)});
}

// Batch normalisation.

cudnnStatus_t cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(Handle, cudnnBatchNormMode_t,
                                                                       cudnnBatchNormOps_t, Tensor,
                                                                       Tensor, Tensor, Tensor,
                                                                       Activation,
                                                                       std::size_t* bytes) {
  return none(bytes);
}
cudnnStatus_t cudnnGetBatchNormalizationBackwardExWorkspaceSize(Handle, cudnnBatchNormMode_t,
                                                                cudnnBatchNormOps_t, Tensor, Tensor,
                                                                Tensor, Tensor, Tensor, Tensor,
                                                                Activation, std::size_t* bytes) {
  return none(bytes);
}
cudnnStatus_t cudnnGetBatchNormalizationTrainingExReserveSpaceSize(Handle, cudnnBatchNormMode_t,
                                                                   cudnnBatchNormOps_t, Activation,
                                                                   Tensor, std::size_t* bytes) {
  return none(bytes);
}
cudnnStatus_t cudnnBatchNormalizationForwardTrainingEx(
    Handle handle, cudnnBatchNormMode_t, cudnnBatchNormOps_t, Scale, Scale, Tensor, In x, Tensor,
    In, Tensor, Out y, Tensor, In scale, In bias, double, Out mean, Out variance, double,
    Out saved_mean, Out saved_variance, cudnnActivationDescriptor_t, Out, std::size_t, Out,
    std::size_t) {
  return work(handle, "batch norm",
              {reads(x), reads(scale), reads(bias), writes(y), writes(mean), writes(variance),
               writes(saved_mean), writes(saved_variance)});
}
cudnnStatus_t cudnnBatchNormalizationBackwardEx(Handle handle, cudnnBatchNormMode_t,
                                                cudnnBatchNormOps_t, Scale, Scale, Scale, Scale,
                                                Tensor, In x, Tensor, In, Tensor, In dy, Tensor,
                                                Out, Tensor, Out dx, Tensor, In scale, In,
                                                Out dscale, Out dbias, double, In saved_mean,
                                                In saved_variance, cudnnActivationDescriptor_t, Out,
                                                std::size_t, Out, std::size_t) {
  return work(handle, "batch norm backward",
              {reads(x), reads(dy), reads(scale), reads(saved_mean), reads(saved_variance),
               writes(dx), writes(dscale), writes(dbias)});
}
cudnnStatus_t cudnnBatchNormalizationForwardInference(Handle handle, cudnnBatchNormMode_t, Scale,
                                                      Scale, Tensor, In x, Tensor, Out y, Tensor,
                                                      In scale, In bias, In mean, In variance,
                                                      double) {
  return work(handle, "batch norm inference",
              {reads(x), reads(scale), reads(bias), reads(mean), reads(variance), writes(y)});
}

}  // extern "C"
