// The CUDA driver, libcuda.so.1, whose name this library bears: LibTorch loads it for the compiler
// of kernels at run time, and asks it whether a device is in use. All else is not supported.

extern "C" {

constexpr int kSuccess = 0;
constexpr int kNotSupported = 801;

int cuDevicePrimaryCtxGetState(int, unsigned* flags, int* active) {
  if (flags) *flags = 0;
  *active = 1;
  return kSuccess;
}
int cuCtxGetCurrent(void** context) {
  *context = context;  // there is one
  return kSuccess;
}
int cuGetErrorString(int, const char** text) {
  *text = "the null GPU has no driver";
  return kSuccess;
}

// What LibTorch takes the address of, and never calls here.
#define NULL_GPU_NOT_SUPPORTED(NAME) \
  int NAME() { return kNotSupported; }
NULL_GPU_NOT_SUPPORTED(cuCtxSetCurrent)
NULL_GPU_NOT_SUPPORTED(cuDeviceGet)
NULL_GPU_NOT_SUPPORTED(cuDeviceGetAttribute)
NULL_GPU_NOT_SUPPORTED(cuDevicePrimaryCtxRetain)
NULL_GPU_NOT_SUPPORTED(cuFuncGetAttribute)
NULL_GPU_NOT_SUPPORTED(cuFuncSetAttribute)
NULL_GPU_NOT_SUPPORTED(cuFuncSetCacheConfig)
NULL_GPU_NOT_SUPPORTED(cuLaunchCooperativeKernel)
NULL_GPU_NOT_SUPPORTED(cuLaunchKernel)
NULL_GPU_NOT_SUPPORTED(cuLinkAddData_v2)
NULL_GPU_NOT_SUPPORTED(cuLinkComplete)
NULL_GPU_NOT_SUPPORTED(cuLinkCreate_v2)
NULL_GPU_NOT_SUPPORTED(cuModuleGetFunction)
NULL_GPU_NOT_SUPPORTED(cuModuleLoad)
NULL_GPU_NOT_SUPPORTED(cuModuleLoadData)
NULL_GPU_NOT_SUPPORTED(cuModuleLoadDataEx)
NULL_GPU_NOT_SUPPORTED(cuModuleUnload)
NULL_GPU_NOT_SUPPORTED(cuOccupancyMaxActiveBlocksPerMultiprocessor)
NULL_GPU_NOT_SUPPORTED(cuPointerGetAttribute)
NULL_GPU_NOT_SUPPORTED(cuTensorMapEncodeTiled)

}  // extern "C"
