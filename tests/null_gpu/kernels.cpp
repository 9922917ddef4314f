// Kernels: noted by the name that nvcc registers them under, never run.

#include <cuda.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <pthread.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/null_gpu/device.h"
#include "tests/null_gpu/ledger.h"

using null_gpu::Devices;
using null_gpu::Memory;
using null_gpu::MemoryUse;
using null_gpu::remember;

namespace {

struct Configuration {
  dim3 grid, block;
  std::size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

struct Kernel {
  std::string name;           ///< as the compiler has it until the kernel is first launched
  std::size_t arguments = 0;  ///< at most
  std::size_t pointers = 0;   ///< that an argument may begin with; 0: not launched yet
  std::size_t lists = 0;      ///< of tensors, in a table that is the first argument; 0: no table
  bool with_steps = false;    ///< a list of steps follows them
};

/// Filled by the static constructors of all libraries with kernels, before anything else runs.
std::unordered_map<const void*, Kernel>& kernels() {
  static auto* map = new std::unordered_map<const void*, Kernel>;
  return *map;
}

/// The upper end of the calling thread's stack.
std::uintptr_t end_of_stack() {
  thread_local const std::uintptr_t end = [] {
    pthread_attr_t attributes;
    void* begin = nullptr;
    std::size_t size = 0;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &begin, &size);
    pthread_attr_destroy(&attributes);
    return reinterpret_cast<std::uintptr_t>(begin) + size;
  }();
  return end;
}

/// Of a kernel on lists of tensors, in its table.
constexpr std::size_t kTable = 512;

/// LibTorch's kernels on elements take their pointers as one array, those on lists of tensors as a
/// table.
std::size_t most_pointers(const std::string& name) {
  if (name.find("multi_tensor_apply") != std::string::npos) return kTable;
  const std::string array = "St5arrayIPcLm";  // std::array<char*, …>
  const std::size_t at = name.find(array);
  if (at == std::string::npos) return 1;
  return std::strtoul(name.c_str() + at + array.size(), nullptr, 10);
}

/// How many arguments a function takes, by its name in C++, "f<g(a)>(int, h<b, c>)"; where that
/// does not say, more than any has.
std::size_t arguments_of(const std::string& name) {
  constexpr std::size_t kMost = 32;
  if (name.empty() || name.back() != ')') return kMost;
  std::size_t depth = 0;
  std::size_t count = 1;
  for (std::size_t at = name.size(); at-- > 0;) {
    const char c = name[at];
    if (c == ')' || c == '>' || c == ']') ++depth;
    if (c == '(' || c == '<' || c == '[') --depth;
    if (c == ',' && depth == 1) ++count;
    if (depth == 0) return count;
  }
  return kMost;
}

/// How many lists of tensors its table has, by its name; 0: it has none that is known here.
std::size_t lists_of(const std::string& name) {
  const std::string table = "TensorListMetadata<";
  const std::size_t at = name.find(table);
  return at == std::string::npos ? 0 : std::strtoul(name.c_str() + at + table.size(), nullptr, 10);
}

// LibTorch's table of lists of tensors (ATen/native/cuda/MultiTensorApply.cuh, 2.11): room for so
// many in each list, by the number of lists; addresses, sizes, with an optimizer's step counts
// addresses of these, then of each block the tensor that it works on. What no block works on is
// left from earlier calls.
constexpr std::size_t kRoom[5] = {110, 64, 48, 36, 30};
constexpr std::size_t kRoomForSteps[5] = {96, 64, 48, 36, 30};

std::vector<MemoryUse> pointers_of_table(const void* table, const Kernel& kernel, dim3 grid) {
  const auto* bytes = static_cast<const unsigned char*>(table);
  const std::size_t room = kRoom[kernel.lists - 1];
  const std::size_t steps = kernel.with_steps ? kRoomForSteps[kernel.lists - 1] : 0;
  const unsigned char* tensor_of_block =
      bytes + ((kernel.lists + 1) * room + steps) * sizeof(void*);
  const std::size_t tensors = 1U + *std::max_element(tensor_of_block, tensor_of_block + grid.x);
  std::vector<MemoryUse> uses;
  for (std::size_t list = 0; list < kernel.lists; ++list) {
    for (std::size_t i = 0; i < std::min(tensors, room); ++i) {
      const void* value = nullptr;
      std::memcpy(&value, bytes + (list * room + i) * sizeof(void*), sizeof value);
      if (Memory::device_of(value)) uses.push_back({.pointer = value});
    }
  }
  return uses;
}

const Kernel& launched(const void* function) {
  Kernel& kernel = kernels()[function];
  if (kernel.pointers == 0) {
    kernel.pointers = most_pointers(kernel.name);
    const std::string name = null_gpu::demangled(kernel.name);
    kernel.arguments = arguments_of(name);
    kernel.lists = lists_of(name);
    kernel.with_steps = name.find("FusedOptimizerTensorListMetadata<") != std::string::npos;
    kernel.name = name.empty() ? "a kernel" : name.substr(0, null_gpu::kLongestName);
  }
  return kernel;
}

/// Note [Pointers of a kernel]
/// What nvcc makes of `kernel<<<…>>>(a, b)` is a function with an array of the arguments'
/// addresses, all on the stack; neither their number nor their sizes are told. The number is in the
/// kernel's name; the array is read so far and for as long as it holds addresses on the stack, and
/// whatever an argument begins with counts as used if it is an address on a device. What is missed
/// is a fault that is not found. A kernel with an array of pointers has them in one argument, all
/// of them: fewer are what is left beside a small argument. To look further would find what earlier
/// calls have left on the stack, and make up faults: it did, where a saved frame pointer came after
/// the array too.
std::vector<MemoryUse> pointers_of(void** arguments, const Kernel& kernel) {
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  std::vector<std::uintptr_t> places;
  for (std::size_t i = 0; arguments && i < kernel.arguments; ++i) {
    const auto place = reinterpret_cast<std::uintptr_t>(arguments[i]);
    if (place < here || place >= end_of_stack()) break;
    places.push_back(place);
  }
  std::sort(places.begin(), places.end());
  places.push_back(end_of_stack());
  std::vector<MemoryUse> uses;
  for (std::size_t i = 0; i + 1 < places.size(); ++i) {
    if (places[i] % alignof(void*) != 0) continue;
    const std::uintptr_t end = std::min(places[i] + kernel.pointers * sizeof(void*), places[i + 1]);
    std::vector<MemoryUse> found;
    for (std::uintptr_t at = places[i]; at + sizeof(void*) <= end; at += sizeof(void*)) {
      const void* value = nullptr;
      std::memcpy(&value, reinterpret_cast<const void*>(at), sizeof value);
      if (Memory::device_of(value)) found.push_back({.pointer = value});
    }
    const bool is_array = kernel.pointers > 1 && kernel.pointers < kTable;
    if (!is_array || found.size() == kernel.pointers) {
      uses.insert(uses.end(), found.begin(), found.end());
    }
  }
  return uses;
}

cudaError_t launch(const void* function, dim3 grid, void** arguments, cudaStream_t stream) {
  Devices& devices = Devices::get();
  const auto lock = devices.lock();
  const Kernel& kernel = launched(function);
  std::vector<MemoryUse> uses;
  if (devices.orders()) {
    const bool by_table = kernel.lists > 0 && kernel.lists <= std::size(kRoom) && grid.x <= 320;
    uses =
        by_table ? pointers_of_table(arguments[0], kernel, grid) : pointers_of(arguments, kernel);
  }
  // Memory that is gone is no argument, but a leftover.
  std::erase_if(uses,
                [&](const MemoryUse& use) { return !devices.memory.is_allocated(use.pointer, 1); });
  return remember(devices.queue(stream, {"kernel", kernel.name, std::move(uses), /*effect=*/{}}));
}

CUresult not_there() { return CUDA_ERROR_NOT_SUPPORTED; }

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void*) {
  static void* handle = nullptr;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterVar(void**, char*, char*, const char*, int, std::size_t, int, int) {}
void __cudaRegisterFunction(void**, const char* function, char*, const char* name, int, uint3*,
                            uint3*, dim3*, dim3*, int*) {
  kernels()[function].name = name;
}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared,
                                     CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared, void* stream) {
  const Configuration& last = configurations.back();
  *grid = last.grid;
  *block = last.block;
  *shared = last.shared;
  *static_cast<cudaStream_t*>(stream) = last.stream;
  configurations.pop_back();
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = static_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3, void** arguments, std::size_t,
                               cudaStream_t stream) {
  return launch(kernel, grid, arguments, stream);
}
cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3, void** arguments, std::size_t,
                             cudaStream_t stream) {
  return launch(function, grid, arguments, stream);
}
cudaError_t cudaLaunchCooperativeKernel(const void* function, dim3 grid, dim3, void** arguments,
                                        std::size_t, cudaStream_t stream) {
  return launch(function, grid, arguments, stream);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* configuration, const void* function,
                                void** arguments) {
  return launch(function, configuration->gridDim, arguments, configuration->stream);
}
/// The host's function runs when the work before it is done: at once, here.
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  Devices& devices = Devices::get();
  const auto lock = devices.lock();
  return remember(devices.queue(
      stream, {"host function", "host function", {}, [function, data] { function(data); }}));
}
cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t function, void* data,
                                  unsigned) {
  Devices& devices = Devices::get();
  const auto lock = devices.lock();
  const cudaError_t refused = devices.refuse_on_captured(stream, "cudaStreamAddCallback");
  if (refused != cudaSuccess) return remember(refused);
  function(stream, cudaSuccess, data);
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  *attributes = {};
  attributes->maxThreadsPerBlock = 1024;
  attributes->numRegs = 32;
  attributes->binaryVersion = 90;
  attributes->ptxVersion = 90;
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int,
                                                                   std::size_t, unsigned) {
  *blocks = 4;
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function,
                                                          int threads, std::size_t shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, shared,
                                                                0);
}
cudaError_t cudaGetSymbolAddress(void** pointer, const void*) {
  static void* const symbols = [] {
    void* made = nullptr;
    cudaMalloc(&made, std::size_t{1} << 16);
    return made;
  }();
  *pointer = symbols;
  return cudaSuccess;
}
cudaError_t cudaMemcpyToSymbol(const void*, const void*, std::size_t, std::size_t, cudaMemcpyKind) {
  return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  *function = dlsym(RTLD_DEFAULT, symbol);
  if (!*function) *function = reinterpret_cast<void*>(&not_there);
  if (result) *result = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}

}  // extern "C"
