# Warnings, ccache and sanitizers, for Thaw's own targets alone.

find_program(THAW_CCACHE ccache)
if(THAW_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${THAW_CCACHE}")
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${THAW_CCACHE}")
endif()

add_library(thaw_compile_options INTERFACE)
target_compile_options(thaw_compile_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual>)
if(THAW_WARNINGS_AS_ERRORS)
  target_compile_options(thaw_compile_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()

set(THAW_SANITIZE "" CACHE STRING "Sanitizers for -fsanitize= (address,undefined or thread)")
if(THAW_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${THAW_SANITIZE}>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>)
  add_link_options(-fsanitize=${THAW_SANITIZE})
endif()
