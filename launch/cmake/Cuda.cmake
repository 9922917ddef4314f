# The CUDA and NCCL parts: sets THAW_CUDA_COMPILE and THAW_CUDA_LINK.
#
# Note [Compiled is not linked]
# Where nvcc and NCCL are, the CUDA sources compile, so that they cannot rot on machines without a
# GPU. They are linked into `thaw` only if this LibTorch's libtorch_cuda.so loads, which it does not
# where just the few wheels are installed that the CPU part needs. THAW_HAVE_CUDA is defined for
# the CUDA sources themselves always, for all others only where they are linked.

include(CudaTargets)

set(THAW_CUDA_COMPILE OFF)
set(THAW_CUDA_LINK OFF)

# Why the CUDA parts cannot compile here, or "".
function(_thaw_cuda_obstacle out)
  set(${out} "" PARENT_SCOPE)
  set(library "${THAW_TORCH_FOLDER}/lib/libtorch_cuda.so")
  if(NOT THAW_NVCC)
    set(${out} "no nvcc on PATH, in CUDAToolkit_ROOT or CUDA_HOME, nor as a wheel" PARENT_SCOPE)
    return()
  elseif(NOT EXISTS "${library}")
    set(${out} "LibTorch in ${THAW_TORCH_FOLDER} is a CPU build" PARENT_SCOPE)
    return()
  elseif(NOT NCCL_INCLUDE OR NOT NCCL_LIBRARY)
    set(${out} "no NCCL (nccl.h and libnccl); name it with -DNCCL_ROOT=DIR" PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND "${THAW_NVCC}" --version OUTPUT_VARIABLE text)
  string(REGEX MATCH "release ([0-9]+)" _ "${text}")
  set(toolkit "${CMAKE_MATCH_1}")
  file(STRINGS "${THAW_TORCH_FOLDER}/lib/libc10_cuda.so" text REGEX "^libcudart\\.so\\.[0-9]+$"
       LIMIT_COUNT 1)
  string(REGEX MATCH "[0-9]+$" torch "${text}")
  if(torch AND NOT toolkit EQUAL torch)
    set(${out} "nvcc is of CUDA ${toolkit}, LibTorch of CUDA ${torch}" PARENT_SCOPE)
  endif()
endfunction()

if(THAW_CUDA)  # AUTO or ON
  _thaw_find_nccl()
  _thaw_cuda_obstacle(_obstacle)
  if(_obstacle AND NOT THAW_CUDA STREQUAL AUTO)
    message(FATAL_ERROR "THAW_CUDA=${THAW_CUDA}, but the CUDA parts cannot be built: ${_obstacle}")
  elseif(_obstacle)
    message(STATUS "CUDA parts: off (${_obstacle})")
  else()
    set(THAW_CUDA_COMPILE ON)
  endif()
endif()

if(THAW_CUDA_COMPILE)
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90 CACHE STRING "GPUs to build for: A100 80, H100 and H200 90")
  endif()
  if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER "${THAW_NVCC}")
  endif()
  enable_language(CUDA)
  set(CMAKE_CUDA_STANDARD 20)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake before 3.26 does not know nvcc's
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  endif()
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_EXTENSIONS OFF)
  # constexpr functions of the standard library (std::array) are called on the GPU too.
  string(APPEND CMAKE_CUDA_FLAGS " --expt-relaxed-constexpr")
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
  find_package(CUDAToolkit REQUIRED)

  _thaw_probe_torch_cuda()
  if(NOT THAW_TORCH_CUDA_COMPLAINT)
    set(THAW_CUDA_LINK ON)
    message(STATUS "CUDA parts: compiled and linked, for GPUs ${CMAKE_CUDA_ARCHITECTURES}")
  elseif(THAW_CUDA STREQUAL AUTO)
    message(STATUS "CUDA parts: compiled, not linked (${THAW_TORCH_CUDA_COMPLAINT})")
  else()
    unset(THAW_TORCH_CUDA_PROBED CACHE)
    message(FATAL_ERROR "THAW_CUDA=${THAW_CUDA}, but ${THAW_TORCH_FOLDER}/lib/libtorch_cuda.so does not load: "
            "${THAW_TORCH_CUDA_COMPLAINT}\nlaunch/quickstart.sh --cuda --build-only installs what it "
            "takes into .venv; or install torch with all its dependencies, and name that environment "
            "with -DTHAW_TORCH=DIR")
  endif()

  _thaw_import_cuda()
  if(THAW_CUDA_LINK)
    target_compile_definitions(thaw_compile_options INTERFACE THAW_HAVE_CUDA)
  endif()
endif()
