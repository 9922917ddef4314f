// cuBLAS and cuBLASLt: products are noted with their sizes and operands.

#include <cublasLt.h>
#include <cublas_v2.h>

#include <string>
#include <unordered_map>

#include "tests/null_gpu/libraries.h"

using null_gpu::make_handle;
using null_gpu::reads;
using null_gpu::writes;

namespace {

std::unordered_map<cublasHandle_t, cudaStream_t>& streams() {
  static auto* map = new std::unordered_map<cublasHandle_t, cudaStream_t>;
  return *map;
}

cublasStatus_t product(cudaStream_t stream, const std::string& name, const void* a, const void* b,
                       const void* c) {
  const cudaError_t error =
      null_gpu::queue_work(stream, "gemm", name, {reads(a), reads(b), writes(c)});
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

cublasStatus_t product(cublasHandle_t handle, int m, int n, int k, int batch, const void* a,
                       const void* b, const void* c) {
  std::string name = std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
  if (batch > 1) name += " times " + std::to_string(batch);
  cudaStream_t stream = nullptr;
  {
    const auto lock = null_gpu::Devices::get().lock();
    stream = streams()[handle];
  }
  return product(stream, name, a, b, c);
}

constexpr cublasStatus_t kFine = CUBLAS_STATUS_SUCCESS;

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) { return make_handle(handle), kFine; }
cublasStatus_t cublasDestroy_v2(cublasHandle_t) { return kFine; }
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  const auto lock = null_gpu::Devices::get().lock();
  streams()[handle] = stream;
  return kFine;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void*, std::size_t) { return kFine; }
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) { return kFine; }
cublasStatus_t cublasGetMathMode(cublasHandle_t, cublasMath_t* mode) {
  *mode = CUBLAS_DEFAULT_MATH;
  return kFine;
}
cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t, cublasPointerMode_t) { return kFine; }
cublasStatus_t cublasGetPointerMode_v2(cublasHandle_t, cublasPointerMode_t* mode) {
  *mode = CUBLAS_POINTER_MODE_HOST;
  return kFine;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t, cublasOperation_t, int m,
                            int n, int k, const void*, const void* a, cudaDataType, int,
                            const void* b, cudaDataType, int, const void*, void* c, cudaDataType,
                            int, cublasComputeType_t, cublasGemmAlgo_t) {
  return product(handle, m, n, k, 1, a, b, c);
}
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t,
                                          cublasOperation_t, int m, int n, int k, const void*,
                                          const void* a, cudaDataType, int, long long,
                                          const void* b, cudaDataType, int, long long, const void*,
                                          void* c, cudaDataType, int, long long, int batch,
                                          cublasComputeType_t, cublasGemmAlgo_t) {
  return product(handle, m, n, k, batch, a, b, c);
}

// The same for float and double.
#define NULL_GPU_PRODUCTS(LETTER, TYPE)                                                          \
  cublasStatus_t cublas##LETTER##gemm_v2(                                                        \
      cublasHandle_t handle, cublasOperation_t, cublasOperation_t, int m, int n, int k,          \
      const TYPE*, const TYPE* a, int, const TYPE* b, int, const TYPE*, TYPE* c, int) {          \
    return product(handle, m, n, k, 1, a, b, c);                                                 \
  }                                                                                              \
  cublasStatus_t cublas##LETTER##gemmStridedBatched(                                             \
      cublasHandle_t handle, cublasOperation_t, cublasOperation_t, int m, int n, int k,          \
      const TYPE*, const TYPE* a, int, long long, const TYPE* b, int, long long, const TYPE*,    \
      TYPE* c, int, long long, int batch) {                                                      \
    return product(handle, m, n, k, batch, a, b, c);                                             \
  }                                                                                              \
  cublasStatus_t cublas##LETTER##gemv_v2(cublasHandle_t handle, cublasOperation_t, int m, int n, \
                                         const TYPE*, const TYPE* a, int, const TYPE* x, int,    \
                                         const TYPE*, TYPE* y, int) {                            \
    return product(handle, m, 1, n, 1, a, x, y);                                                 \
  }                                                                                              \
  cublasStatus_t cublas##LETTER##dot_v2(cublasHandle_t handle, int n, const TYPE* x, int,        \
                                        const TYPE* y, int, TYPE* result) {                      \
    return product(handle, 1, 1, n, 1, x, y, result);                                            \
  }
NULL_GPU_PRODUCTS(S, float)
NULL_GPU_PRODUCTS(D, double)

std::size_t cublasLtGetVersion() { return 130100; }
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* handle, cublasComputeType_t,
                                        cudaDataType_t) {
  return make_handle(handle), kFine;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t) { return kFine; }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t,
                                              const void*, std::size_t) {
  return kFine;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* handle) {
  return make_handle(handle), kFine;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t) { return kFine; }
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t,
                                                    cublasLtMatmulPreferenceAttributes_t,
                                                    const void*, std::size_t) {
  return kFine;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* handle, cudaDataType,
                                          std::uint64_t, std::uint64_t, std::int64_t) {
  return make_handle(handle), kFine;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t) { return kFine; }
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t,
                                                cublasLtMatrixLayoutAttribute_t, const void*,
                                                std::size_t) {
  return kFine;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int,
                                              cublasLtMatmulHeuristicResult_t* result, int* count) {
  *result = {};
  *count = 1;
  return kFine;
}
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t, const void*, const void* a,
                              cublasLtMatrixLayout_t, const void* b, cublasLtMatrixLayout_t,
                              const void*, const void*, cublasLtMatrixLayout_t, void* c,
                              cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t*, void*,
                              std::size_t, cudaStream_t stream) {
  return product(stream, "with epilogue", a, b, c);
}

}  // extern "C"
