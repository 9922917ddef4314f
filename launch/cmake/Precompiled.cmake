# Precompiled headers: what LibTorch's headers cost is paid once for all files, not by each.
#
# Note [A file is given what it includes already]
# A precompiled header is read in no time, but the templates that it left open are instantiated in
# every file that reads it: some 0.4 s for a tensor's header, 3 s for a module's. So there are
# several, and each file is given the least one that holds what it reaches by its own includes; one
# that reaches nothing of LibTorch gets none, and goes on not knowing it. The includes are those of
# the moment of configuration: a file whose includes have grown since just compiles longer.
#
# No file may lean on them. With -DTHAW_PRECOMPILED_HEADERS=OFF each includes what it includes;
# tests/lint.sh reads them so, and tests/setup/plain_build.sh builds all so.

set(_thaw_precompiled_suffix .gch)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  set(_thaw_precompiled_suffix .pch)
endif()
option(THAW_PRECOMPILED_HEADERS "Compile LibTorch's headers once for all files" ON)

# The levels from least to most, the includes that make a file belong to each, and what each holds.
set(_thaw_levels tensor operators module)
set(_thaw_mark_tensor "ATen/core/Tensor\\.h")
set(_thaw_mark_operators "ATen/(ops/|TensorOperators|Context)")
set(_thaw_mark_module "torch/(nn|optim|csrc|torch\\.h)")
set(_thaw_headers_tensor
    <algorithm> <cstdint> <functional> <map> <memory> <optional> <span> <string> <unordered_map>
    <utility> <vector> <ATen/core/Tensor.h> <c10/core/GradMode.h> <c10/util/Exception.h>)
set(_thaw_headers_operators
    ${_thaw_headers_tensor} <ATen/Context.h> <ATen/Dispatch.h> <ATen/Parallel.h>
    <ATen/core/grad_mode.h> <ATen/ops/arange.h> <ATen/ops/cat.h> <ATen/ops/empty.h>
    <ATen/ops/empty_like.h> <ATen/ops/equal.h> <ATen/ops/full.h> <ATen/ops/linear.h>
    <ATen/ops/mm.h> <ATen/ops/ones.h> <ATen/ops/tensor.h> <ATen/ops/zeros.h>
    <ATen/ops/zeros_like.h>)
set(_thaw_headers_module
    ${_thaw_headers_operators} <torch/nn/module.h> <torch/csrc/autograd/custom_function.h>)

# Tests run once: what the optimizer would gain takes longer to find than it saves.
set(_thaw_test_options $<$<CONFIG:Release>:-O1>)

# The target that makes one of them, of flags as those who use it have; it holds no code.
function(_thaw_add_precompiled name headers)
  set(empty "${PROJECT_BINARY_DIR}/precompiled.cpp")
  file(CONFIGURE OUTPUT "${empty}" CONTENT "" @ONLY)
  add_library(${name} OBJECT EXCLUDE_FROM_ALL "${empty}")
  target_precompile_headers(${name} PRIVATE ${headers})
  target_link_libraries(${name} PRIVATE fmt::fmt Threads::Threads thaw_compile_options ${ARGN})
endfunction()

if(THAW_PRECOMPILED_HEADERS)
  foreach(_level IN LISTS _thaw_levels)
    _thaw_add_precompiled(thaw_precompiled_library_${_level} "${_thaw_headers_${_level}}" thaw_torch)
  endforeach()
  if(THAW_BUILD_TESTS)
    # A test that reaches nothing of LibTorch gets none: whether it is compiled for OpenMP depends on
    # what its program links, and a header made without does not serve there.
    foreach(_level IN LISTS _thaw_levels)
      set(_name thaw_precompiled_test_${_level})
      _thaw_add_precompiled(${_name} "<gmock/gmock.h>;<gtest/gtest.h>;${_thaw_headers_${_level}}"
                            GTest::gmock)
      target_link_libraries(${_name} PRIVATE thaw_torch)
      set_target_properties(${_name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
      target_compile_options(${_name} PRIVATE -fPIE ${_thaw_test_options})  # as programs are compiled
    endforeach()
  endif()
endif()

# How much of LibTorch a file reaches by its includes, in `out`: 0 for nothing, else the place of
# its level in _thaw_levels, counted from 1.
function(_thaw_reached_level file out)
  get_property(reached GLOBAL PROPERTY "thaw_reached_level_${file}")
  if(NOT "${reached}" STREQUAL "")
    set(${out} ${reached} PARENT_SCOPE)
    return()
  endif()
  set(reached 0)
  get_filename_component(folder "${file}" DIRECTORY)
  file(STRINGS "${file}" lines REGEX "^[ \t]*#[ \t]*include[ \t]*[<\"]")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^[^<\"]*[<\"]([^>\"]+).*$" "\\1" included "${line}")
    set(level 0)
    foreach(place IN ITEMS "${PROJECT_SOURCE_DIR}/" "${PROJECT_SOURCE_DIR}/include/" "${folder}/" "")
      if(EXISTS "${place}${included}")
        _thaw_reached_level("${place}${included}" level)
        break()
      endif()
    endforeach()
    set(position 0)
    foreach(candidate IN LISTS _thaw_levels)
      math(EXPR position "${position} + 1")
      if(included MATCHES "^${_thaw_mark_${candidate}}")
        set(level ${position})
      endif()
    endforeach()
    if(level GREATER reached)
      set(reached ${level})
    endif()
  endforeach()
  set_property(GLOBAL PROPERTY "thaw_reached_level_${file}" ${reached})
  set(${out} ${reached} PARENT_SCOPE)
endfunction()

# thaw_precompile(TARGET KIND SOURCES...): gives each source of the target, which was added in this
# folder, its precompiled header. KIND is library or test.
function(thaw_precompile target kind)
  if(kind STREQUAL test)
    set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS ${_thaw_test_options})
  endif()
  if(NOT THAW_PRECOMPILED_HEADERS)
    return()
  endif()
  foreach(source IN LISTS ARGN)
    _thaw_reached_level("${source}" reached)
    set(levels none ${_thaw_levels})
    list(GET levels ${reached} level)
    set(header_target thaw_precompiled_${kind}_${level})
    if(NOT TARGET ${header_target})
      continue()
    endif()
    set(header "${PROJECT_BINARY_DIR}/CMakeFiles/${header_target}.dir/cmake_pch.hxx")
    # -fpch-preprocess: what ccache asks for, to see that it was used.
    set_property(SOURCE "${source}" APPEND PROPERTY COMPILE_OPTIONS
      -Winvalid-pch $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess> -include "${header}")
    # The compiler lists neither it nor what it was made of among what a file depends on.
    set_property(SOURCE "${source}" APPEND PROPERTY OBJECT_DEPENDS "${header}${_thaw_precompiled_suffix}")
    add_dependencies(${target} ${header_target})
  endforeach()
endfunction()
