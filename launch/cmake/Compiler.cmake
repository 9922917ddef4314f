# Warnings, ccache and sanitizers, for Thaw's own targets alone.

find_program(THAW_CCACHE ccache)
mark_as_advanced(THAW_CCACHE)
if(THAW_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths below the source folder count as relative, so that one clone's results serve the next.
  # What compiles with a precompiled header is kept only if its unknown __TIME__ does not count, and
  # that header, of hundreds of megabytes, is hashed once and not for each file.
  set(_launcher "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_INODECACHE=1 "${THAW_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${_launcher}")
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${_launcher}")
endif()

add_library(thaw_compile_options INTERFACE)
target_compile_options(thaw_compile_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual>)
if(THAW_WARNINGS_AS_ERRORS)
  target_compile_options(thaw_compile_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms on std::string's operator+ (GCC bug 105651).
  # (With a precompiled header it sees into the library's own headers, and alarms by more names.)
  foreach(_warning restrict array-bounds stringop-overflow stringop-overread)
    target_compile_options(thaw_compile_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-${_warning}>)
  endforeach()
endif()
# Kernels hand vectors between inlined functions only, so their calling convention does not matter.
target_compile_options(thaw_compile_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-psabi>)

set(THAW_SANITIZE "" CACHE STRING "Sanitizers for -fsanitize= (address,undefined or thread)")
if(THAW_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${THAW_SANITIZE}>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>)
  add_link_options(-fsanitize=${THAW_SANITIZE})
endif()
