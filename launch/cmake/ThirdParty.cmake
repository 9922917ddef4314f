# What Thaw is built on, as far as a program that links the installed library needs it too: used by
# the build and, installed, by find_package(Thaw). Each can be pointed at with -D<Name>_ROOT=DIR (or
# the environment's <Name>_ROOT).
include("${CMAKE_CURRENT_LIST_DIR}/ImportTorch.cmake")

if(POLICY CMP0167)
  cmake_policy(SET CMP0167 NEW)  # Boost's own CMake package, where CMake has dropped FindBoost
endif()

set(_missing "")
set(_packages "")

# Notes that `what` is missing; the rest of the arguments are Debian packages that bring it.
macro(_thaw_missing what)
  list(APPEND _missing "${what}")
  list(APPEND _packages ${ARGN})
endmacro()

# _thaw_find_c(NAME HEADER h [LIBRARY names...] [SUFFIXES dirs...]): NAME_INCLUDE and NAME_LIBRARY in
# NAME_ROOT, or else where CMake looks by itself; for libraries without a CMake package, or whose
# package or compiler wrapper holds absolute paths and so breaks when the tree is moved.
macro(_thaw_find_c name)
  cmake_parse_arguments(FIND "" "HEADER" "LIBRARY;SUFFIXES" ${ARGN})
  set(_library_suffixes lib lib64 lib/${CMAKE_LIBRARY_ARCHITECTURE})
  foreach(_suffix IN LISTS FIND_SUFFIXES)
    list(APPEND _library_suffixes "lib/${CMAKE_LIBRARY_ARCHITECTURE}/${_suffix}" "lib/${_suffix}"
         "${_suffix}")
  endforeach()
  list(TRANSFORM FIND_SUFFIXES PREPEND "include/" OUTPUT_VARIABLE _include_suffixes)
  find_path(${name}_INCLUDE "${FIND_HEADER}" HINTS ${${name}_ROOT} ENV ${name}_ROOT
            PATH_SUFFIXES include ${_include_suffixes} ${FIND_SUFFIXES})
  mark_as_advanced(${name}_INCLUDE)
  if(FIND_LIBRARY)
    find_library(${name}_LIBRARY NAMES ${FIND_LIBRARY} HINTS ${${name}_ROOT} ENV ${name}_ROOT
                 PATH_SUFFIXES ${_library_suffixes})
    mark_as_advanced(${name}_LIBRARY)
  endif()
endmacro()

# _thaw_find_package(NAME PACKAGE debian [arguments of find_package]): a CMake package.
macro(_thaw_find_package name package)
  find_package(${name} ${ARGN} QUIET)
  if(NOT ${name}_FOUND)
    string(REPLACE ";" " " _words "${name};${ARGN}")
    _thaw_missing("${_words}  [-D${name}_ROOT=DIR]" ${package})
  endif()
endmacro()

# HDF5's C library as the target thaw_hdf5.
macro(_thaw_find_hdf5)
  _thaw_find_c(HDF5 HEADER hdf5.h LIBRARY hdf5_serial hdf5 SUFFIXES hdf5/serial)
  set(_hdf5_version none)
  if(HDF5_INCLUDE)
    file(STRINGS "${HDF5_INCLUDE}/H5public.h" _hdf5_line REGEX "#define H5_VERS_INFO ")
    string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" _hdf5_version "${_hdf5_line}")
  endif()
  if(NOT HDF5_LIBRARY OR NOT _hdf5_version VERSION_GREATER_EQUAL 1.10)
    _thaw_missing("HDF5 1.10 or newer, its C library (found: ${_hdf5_version})  [-DHDF5_ROOT=DIR]"
                  libhdf5-dev)
  elseif(NOT TARGET thaw_hdf5)
    add_library(thaw_hdf5 INTERFACE IMPORTED GLOBAL)
    target_include_directories(thaw_hdf5 INTERFACE "${HDF5_INCLUDE}")
    target_link_libraries(thaw_hdf5 INTERFACE "${HDF5_LIBRARY}")
    file(GLOB _hdf5_configuration "${HDF5_INCLUDE}/H5pubconf*.h")
    foreach(_header IN LISTS _hdf5_configuration)
      file(STRINGS "${_header}" _hdf5_parallel REGEX "#define H5_HAVE_PARALLEL 1")
      if(_hdf5_parallel)  # then hdf5.h includes mpi.h
        target_link_libraries(thaw_hdf5 INTERFACE MPI::MPI_CXX)
      endif()
    endforeach()
  endif()
endmacro()

# All of them; what is missing is added to _missing and _packages.
macro(_thaw_find_third_party)
  thaw_import_torch(_torch_problem)
  if(_torch_problem)
    _thaw_missing("${_torch_problem}")
  endif()
  find_package(Threads REQUIRED)
  set(MPI_CXX_SKIP_MPICXX ON)  # the C interface only: MPI 3 dropped the C++ one
  _thaw_find_package(MPI "openmpi-bin;libopenmpi-dev" 3.0 COMPONENTS CXX)
  _thaw_find_package(Boost libboost-program-options-dev 1.71 COMPONENTS program_options)
  _thaw_find_package(fmt libfmt-dev)
  _thaw_find_hdf5()
endmacro()

# What is missing and how Debian gets it, as one text in `out`, which begins with `sentence`; or "".
function(_thaw_tell_missing sentence out)
  set(${out} "" PARENT_SCOPE)
  if(_missing)
    list(JOIN _missing "\n  - " lines)
    set(remedy "")
    if(_packages)
      list(JOIN _packages " " packages)
      set(remedy "\nOn Debian and Ubuntu: apt-get install ${packages}")
    endif()
    set(${out} "${sentence} Missing:\n  - ${lines}${remedy}" PARENT_SCOPE)
  endif()
endfunction()
