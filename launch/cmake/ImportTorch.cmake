# thaw_import_torch(PROBLEM): imports LibTorch as the target `thaw_torch` (alias Thaw::torch).
# PROBLEM becomes "" or what is wrong, with the remedy; then there is no target.
#
# Note [LibTorch without its CMake package]
# find_package(Torch) of a CUDA build fails where no CUDA toolkit is installed, although such a
# build's libtorch_cpu.so and libc10.so link and run alone. At load time they need no more than
# libcupti and libcudart of their CUDA major version, which come as two small wheels. So the two
# libraries are imported by path, and a probe program shows that they load before a long build
# starts. Looked at in this order, the first that was given counts:
#   -DTHAW_TORCH=DIR, -DTorch_ROOT=DIR, the environment's THAW_TORCH and Torch_ROOT,
#   CMAKE_PREFIX_PATH, the project's .venv, the active virtual or conda environment.
# DIR is a Python environment, its site-packages or torch folder, or an unpacked libtorch zip.

set(THAW_TORCH_MINIMUM 2.7)

# The folder that holds include/ and lib/ of the LibTorch in `place`, or "".
function(_thaw_torch_folder place out)
  set(${out} "" PARENT_SCOPE)
  file(GLOB headers
       "${place}/include/ATen/ATen.h"
       "${place}/libtorch/include/ATen/ATen.h"
       "${place}/torch/include/ATen/ATen.h"
       "${place}/lib*/python3*/site-packages/torch/include/ATen/ATen.h"
       "${place}/lib*/python3*/dist-packages/torch/include/ATen/ATen.h")
  if(NOT headers AND EXISTS "${place}/bin/python3")
    # An environment that borrows its torch from another one (--system-site-packages).
    execute_process(
      COMMAND "${place}/bin/python3" -c
              "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
      OUTPUT_VARIABLE borrowed OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE status)
    if(status EQUAL 0 AND EXISTS "${borrowed}/include/ATen/ATen.h")
      set(headers "${borrowed}/include/ATen/ATen.h")
    endif()
  endif()
  if(headers)
    list(GET headers 0 header)
    get_filename_component(folder "${header}/../../.." ABSOLUTE)
    set(${out} "${folder}" PARENT_SCOPE)
  endif()
endfunction()

# Where LibTorch is: folder "" with a problem if nowhere, or not where the user said.
function(_thaw_locate_torch folder problem)
  set(${folder} "" PARENT_SCOPE)
  set(${problem} "" PARENT_SCOPE)
  foreach(given IN ITEMS "${THAW_TORCH}" "${Torch_ROOT}" "$ENV{THAW_TORCH}" "$ENV{Torch_ROOT}")
    if(given)
      _thaw_torch_folder("${given}" found)
      if(NOT found)
        set(${problem} "no LibTorch in ${given}, the folder that was given: it should be a Python \
environment with torch, its torch folder, or an unpacked libtorch zip" PARENT_SCOPE)
      endif()
      set(${folder} "${found}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  foreach(place IN LISTS CMAKE_PREFIX_PATH
          ITEMS "${PROJECT_SOURCE_DIR}/.venv" "$ENV{VIRTUAL_ENV}" "$ENV{CONDA_PREFIX}")
    if(place)
      _thaw_torch_folder("${place}" found)
      if(found)
        set(${folder} "${found}" PARENT_SCOPE)
        return()
      endif()
    endif()
  endforeach()
  set(${problem} "LibTorch >= ${THAW_TORCH_MINIMUM} not found: launch/quickstart.sh --build-only \
installs it into .venv; or name one with -DTHAW_TORCH=DIR (a Python environment with torch, or an \
unpacked libtorch zip)" PARENT_SCOPE)
endfunction()

function(_thaw_torch_version folder out)
  set(version "")
  foreach(header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
    if(EXISTS "${folder}/include/${header}")
      file(STRINGS "${folder}/include/${header}" lines
           REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
      if(lines)
        string(REGEX REPLACE "[^0-9]*([0-9]+)" "\\1." version "${lines}")
        string(REGEX REPLACE "\\.$" "" version "${version}")
        break()
      endif()
    endif()
  endforeach()
  set(${out} "${version}" PARENT_SCOPE)
endfunction()

# "" or why this LibTorch cannot serve.
function(_thaw_refuse_torch folder version out)
  set(${out} "" PARENT_SCOPE)
  set(remedy "take a newer one: pip install 'torch>=${THAW_TORCH_MINIMUM}', or a libtorch zip from \
pytorch.org, named with -DTHAW_TORCH=DIR")
  if(NOT version)
    set(${out} "${folder} holds no torch/version.h with a version in it; ${remedy}" PARENT_SCOPE)
  elseif(version VERSION_LESS THAW_TORCH_MINIMUM)
    set(${out} "LibTorch ${version} in ${folder} is older than ${THAW_TORCH_MINIMUM}; ${remedy}"
        PARENT_SCOPE)
  else()
    foreach(library c10 torch_cpu)
      if(NOT EXISTS "${folder}/lib/lib${library}.so")
        set(${out} "${folder}/lib/lib${library}.so is missing: LibTorch there is not whole; unpack \
or install it again" PARENT_SCOPE)
        return()
      endif()
    endforeach()
    # The same function's name with a std::string of the old ABI (Ss) and of the new one.
    file(STRINGS "${folder}/lib/libc10.so" old REGEX "torchCheckFailEPKcS[0-9]_jRKSs" LIMIT_COUNT 1)
    if(old)
      set(${out} "LibTorch ${version} in ${folder} is built with the old C++ ABI \
(_GLIBCXX_USE_CXX11_ABI=0), which this compiler's std::string does not fit; take one with the new \
ABI: pip's torch >= 2.7, or the zip named cxx11-abi from pytorch.org" PARENT_SCOPE)
    endif()
  endif()
endfunction()

# nvcc as THAW_NVCC: where the user says, from the wheel beside LibTorch in `folder` (which set-up puts
# there if no toolkit fits), by the usual hints.
macro(_thaw_find_nvcc folder)
  file(GLOB _thaw_nvcc_wheels "${folder}/../nvidia/cu[0-9]*/bin")
  find_program(THAW_NVCC nvcc HINTS ${CUDAToolkit_ROOT} ENV CUDAToolkit_ROOT ${_thaw_nvcc_wheels}
               ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
  mark_as_advanced(THAW_NVCC)
endmacro()

# Folders where CUDA's own libraries may be, for a LibTorch that does not find them itself.
function(_thaw_cuda_library_folders folder out)
  _thaw_find_nvcc("${folder}")
  set(toolkits "${CUDAToolkit_ROOT}" "$ENV{CUDAToolkit_ROOT}" "$ENV{CUDA_HOME}" "$ENV{CUDA_PATH}")
  if(THAW_NVCC)
    get_filename_component(nvcc "${THAW_NVCC}" REALPATH)
    get_filename_component(toolkit "${nvcc}/../.." ABSOLUTE)
    list(APPEND toolkits "${toolkit}")
  endif()
  file(GLOB folders "${folder}/../nvidia/*/lib")
  foreach(toolkit IN LISTS toolkits)
    if(toolkit)
      list(APPEND folders "${toolkit}/lib64" "${toolkit}/lib" "${toolkit}/extras/CUPTI/lib64")
    endif()
  endforeach()
  set(${out} "${folders}" PARENT_SCOPE)
endfunction()

# Links a program against `library` as Thaw does and runs it. `paths` becomes the run path it took
# to load, `problem` the loader's complaint.
function(_thaw_probe_torch folder library paths problem)
  set(run_path "${folder}/lib")
  set(complaint "")
  if(NOT CMAKE_CROSSCOMPILING)
    _thaw_cuda_library_folders("${folder}" others)
    set(source "${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/thaw_torch_probe.cpp")
    file(WRITE "${source}" "int main() { return 0; }\n")
    foreach(attempt RANGE 12)
      list(JOIN run_path ":" joined)
      try_run(status compiled "${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/thaw_torch_probe" "${source}"
              LINK_OPTIONS "-Wl,--no-as-needed,--allow-shlib-undefined,--disable-new-dtags"
                           "-Wl,-rpath,${joined}"
              LINK_LIBRARIES "${library}" "${folder}/lib/libc10.so"
              COMPILE_OUTPUT_VARIABLE compile_output RUN_OUTPUT_VARIABLE complaint)
      set(code "${status}")
      set(built "${compiled}")
      unset(status CACHE)  # try_run caches both, and would not try again
      unset(compiled CACHE)
      if(NOT built)
        set(complaint "${compile_output}")
        break()
      elseif(code EQUAL 0)
        set(complaint "")
        break()
      elseif(NOT complaint MATCHES "(lib[^ :/]+\\.so[.0-9]*): cannot open shared object")
        break()
      endif()
      set(missing "${CMAKE_MATCH_1}")
      set(home "")
      foreach(other IN LISTS others)
        get_filename_component(other "${other}" ABSOLUTE)
        if(EXISTS "${other}/${missing}" AND NOT other IN_LIST run_path)
          set(home "${other}")
          break()
        endif()
      endforeach()
      if(NOT home)
        break()
      endif()
      list(APPEND run_path "${home}")
    endforeach()
  endif()
  string(REGEX REPLACE "^.*error while loading shared libraries: " "" complaint "${complaint}")
  string(STRIP "${complaint}" complaint)
  set(${paths} "${run_path}" PARENT_SCOPE)
  set(${problem} "${complaint}" PARENT_SCOPE)
endfunction()

# What to do about a LibTorch that the loader rejects with `complaint`.
function(_thaw_torch_load_remedy folder version complaint out)
  set(text "LibTorch ${version} in ${folder} does not load: ${complaint}")
  if(complaint MATCHES "lib(cupti|cudart)\\.so\\.([0-9]+)")
    set(major "${CMAKE_MATCH_2}")
    if(major GREATER_EQUAL 13)
      set(wheels "'nvidia-cuda-cupti==${major}.*' 'nvidia-cuda-runtime==${major}.*'")
    else()
      set(wheels "nvidia-cuda-cupti-cu${major} nvidia-cuda-runtime-cu${major}")
    endif()
    string(APPEND text "\n    It is a CUDA build, and CUDA ${major}'s runtime is not beside it. \
Either, with the Python that owns it: python -m pip install --no-deps ${wheels}; or install a CUDA \
${major} toolkit and name it with -DCUDAToolkit_ROOT=DIR; or take a CPU build from pytorch.org")
  endif()
  set(${out} "${text}" PARENT_SCOPE)
endfunction()

function(thaw_import_torch problem)
  set(${problem} "" PARENT_SCOPE)
  if(TARGET thaw_torch)
    return()
  endif()
  _thaw_locate_torch(folder complaint)
  if(NOT complaint)
    _thaw_torch_version("${folder}" version)
    _thaw_refuse_torch("${folder}" "${version}" complaint)
  endif()
  if(complaint)
    set(${problem} "${complaint}" PARENT_SCOPE)
    return()
  endif()

  # The probe costs a second or two; its answer stays good for the same library.
  set(library "${folder}/lib/libtorch_cpu.so")
  file(TIMESTAMP "${library}" written)
  set(probed "${library} ${version} ${written}")
  if(NOT probed STREQUAL THAW_TORCH_PROBED)
    _thaw_probe_torch("${folder}" "${library}" run_path complaint)
    if(complaint)
      _thaw_torch_load_remedy("${folder}" "${version}" "${complaint}" text)
      set(${problem} "${text}" PARENT_SCOPE)
      return()
    endif()
    message(STATUS "LibTorch ${version}: ${folder}")
    set(THAW_TORCH_PROBED "${probed}" CACHE INTERNAL "")
    set(THAW_TORCH_RUN_PATH "${run_path}" CACHE INTERNAL "")
  endif()
  set(THAW_TORCH_FOLDER "${folder}" CACHE INTERNAL "LibTorch's folder with include/ and lib/")
  set(THAW_TORCH_VERSION "${version}" CACHE INTERNAL "")

  add_library(thaw_torch INTERFACE IMPORTED GLOBAL)
  add_library(Thaw::torch ALIAS thaw_torch)
  # LibTorch's include folder also holds other libraries' headers of versions of its own (fmt 12),
  # without the libraries: so it is searched last, after whatever we build on ourselves.
  foreach(include IN ITEMS "${folder}/include" "${folder}/include/torch/csrc/api/include")
    target_compile_options(thaw_torch INTERFACE
      "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-idirafter ${include}>"
      "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-isystem ${include}>")
  endforeach()
  target_link_libraries(thaw_torch INTERFACE "${library}" "${folder}/lib/libc10.so")
  # at::parallel_for is a template over OpenMP. It must run on LibTorch's own libgomp: a second one
  # would bring a second pool of threads, which spin on the cores of the first.
  target_compile_options(thaw_torch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
  file(GLOB openmp "${folder}/lib/libgomp*.so*" "${folder}/lib/libiomp5.so")
  if(openmp)
    list(GET openmp 0 openmp)
    target_link_libraries(thaw_torch INTERFACE "${openmp}")
  else()
    target_link_options(thaw_torch INTERFACE -fopenmp)
  endif()
  # DT_RPATH, not DT_RUNPATH: it also serves LibTorch's own search for CUDA's libraries.
  target_link_options(thaw_torch INTERFACE "-Wl,--allow-shlib-undefined,--disable-new-dtags")
  foreach(path IN LISTS THAW_TORCH_RUN_PATH)
    target_link_options(thaw_torch INTERFACE "-Wl,-rpath,${path}")
  endforeach()
endfunction()
