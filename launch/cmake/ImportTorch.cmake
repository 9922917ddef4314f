# Imports LibTorch as thaw_torch without its own CMake package, which fails for CUDA wheels where
# no CUDA toolkit is installed.
set(_candidates "${THAW_TORCH}" "${Torch_ROOT}" "$ENV{Torch_ROOT}" "${CMAKE_SOURCE_DIR}/.venv")
set(_torch "")
foreach(_c IN LISTS _candidates)
  if(_torch OR _c STREQUAL "")
    continue()
  endif()
  file(GLOB _found "${_c}/include/ATen" "${_c}/lib/python3*/site-packages/torch/include/ATen"
       "${_c}/torch/include/ATen")
  if(_found)
    list(GET _found 0 _first)
    get_filename_component(_torch "${_first}/../.." ABSOLUTE)
  endif()
endforeach()
if(NOT _torch)
  message(FATAL_ERROR "LibTorch not found: give -DTHAW_TORCH=DIR")
endif()
message(STATUS "LibTorch: ${_torch}")
add_library(thaw_torch INTERFACE)
target_include_directories(thaw_torch SYSTEM INTERFACE
  "${_torch}/include" "${_torch}/include/torch/csrc/api/include")
target_link_libraries(thaw_torch INTERFACE "${_torch}/lib/libtorch_cpu.so" "${_torch}/lib/libc10.so")
target_link_options(thaw_torch INTERFACE "-Wl,-rpath,${_torch}/lib"
  "-Wl,--allow-shlib-undefined" "-Wl,--disable-new-dtags")
