# The libraries of the CUDA and NCCL parts as targets: for the build and, installed, for
# find_package(Thaw) of a Thaw that was built with them.

# NCCL_INCLUDE and NCCL_LIBRARY: in NCCL_ROOT, where CMake looks by itself, beside the CUDA toolkit
# (THAW_NVCC) or in the wheel beside LibTorch.
macro(_thaw_find_nccl)
  _thaw_find_nvcc("${THAW_TORCH_FOLDER}")
  get_filename_component(_toolkit "${THAW_NVCC}" DIRECTORY)
  _thaw_find_c(NCCL HEADER nccl.h LIBRARY nccl libnccl.so.2)
  if(THAW_NVCC AND NOT NCCL_INCLUDE)
    unset(NCCL_LIBRARY CACHE)
    find_path(NCCL_INCLUDE nccl.h PATHS "${_toolkit}/.." "${THAW_TORCH_FOLDER}/../nvidia/nccl"
              PATH_SUFFIXES include)
    find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 PATHS "${_toolkit}/.."
                 "${THAW_TORCH_FOLDER}/../nvidia/nccl" PATH_SUFFIXES lib64 lib)
  endif()
endmacro()

# How this LibTorch's libtorch_cuda.so loads: THAW_TORCH_CUDA_RUN_PATH, or why it does not:
# THAW_TORCH_CUDA_COMPLAINT.
macro(_thaw_probe_torch_cuda)
  set(_library "${THAW_TORCH_FOLDER}/lib/libtorch_cuda.so")
  # What did not load may have got since what it lacked.
  if(THAW_TORCH_CUDA_COMPLAINT OR NOT THAW_TORCH_CUDA_PROBED STREQUAL _library)
    _thaw_probe_torch("${THAW_TORCH_FOLDER}" "${_library}" _run_path _complaint)
    set(THAW_TORCH_CUDA_PROBED "${_library}" CACHE INTERNAL "")
    set(THAW_TORCH_CUDA_RUN_PATH "${_run_path}" CACHE INTERNAL "")
    set(THAW_TORCH_CUDA_COMPLAINT "${_complaint}" CACHE INTERNAL "")
  endif()
endmacro()

# The targets thaw_nccl and thaw_torch_cuda, from what the two above have found.
macro(_thaw_import_cuda)
  if(NOT TARGET thaw_nccl)
    add_library(thaw_nccl INTERFACE IMPORTED GLOBAL)
    target_include_directories(thaw_nccl INTERFACE "${NCCL_INCLUDE}")
    target_link_libraries(thaw_nccl INTERFACE "${NCCL_LIBRARY}")
    add_library(thaw_torch_cuda INTERFACE IMPORTED GLOBAL)
    target_link_libraries(thaw_torch_cuda INTERFACE
      thaw_torch "${THAW_TORCH_FOLDER}/lib/libtorch_cuda.so"
      "${THAW_TORCH_FOLDER}/lib/libc10_cuda.so" CUDA::cudart)
    # LibTorch's GPU kernels register themselves when loaded; no symbol of theirs is referred to.
    target_link_options(thaw_torch_cuda INTERFACE "LINKER:--no-as-needed")
    foreach(_path IN LISTS THAW_TORCH_CUDA_RUN_PATH)
      target_link_options(thaw_torch_cuda INTERFACE "-Wl,-rpath,${_path}")
    endforeach()
  endif()
endmacro()
