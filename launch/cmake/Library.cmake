# thaw_library(NAME FOLDER dir [DEPENDS libs...] [EXCLUDE files...] [SEPARATE]): one static library
# from the .cpp files of a folder and of those inside it, two levels deep; a header-only one where
# there are none.
# SEPARATE: also a unity build compiles each by itself.
#
# Its *.cu and *_cuda.cpp become a library NAME_cuda, compiled where there is a CUDA
# toolkit and linked into NAME where it can run: see Note [Compiled is not linked].
#
# Includes name files from the project's root; installed, from include/thaw.
set(_thaw_includes $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:include/thaw>)
# Of header-only libraries that sources alone include, users of the installed package need nothing.
set(_thaw_build_only thaw_toml thaw_xxhash nlohmann_json::nlohmann_json)

function(thaw_library name)
  cmake_parse_arguments(ARG "SEPARATE" "FOLDER" "DEPENDS;EXCLUDE" ${ARGN})
  foreach(library IN LISTS _thaw_build_only)
    list(TRANSFORM ARG_DEPENDS REPLACE "^${library}$" "$<BUILD_INTERFACE:${library}>")
  endforeach()
  get_filename_component(folder "${ARG_FOLDER}" ABSOLUTE)
  set_property(GLOBAL APPEND PROPERTY THAW_LIBRARY_FOLDERS "${folder}")  # which tests must mirror
  set(patterns "${folder}/*.cpp" "${folder}/*/*.cpp" "${folder}/*/*/*.cpp")
  list(TRANSFORM patterns REPLACE "cpp$" "cu" OUTPUT_VARIABLE cuda_patterns)
  file(GLOB sources CONFIGURE_DEPENDS ${patterns} ${cuda_patterns})
  foreach(excluded IN LISTS ARG_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "/${excluded}$")
  endforeach()
  set(cuda_sources "${sources}")
  set(cuda_pattern "(\\.cu|_cuda\\.cpp)$")
  list(FILTER sources EXCLUDE REGEX "${cuda_pattern}")
  list(FILTER cuda_sources INCLUDE REGEX "${cuda_pattern}")

  if(NOT ARG_SEPARATE)
    thaw_unity(sources library ${sources})
  endif()
  if(sources)
    add_library(${name} STATIC ${sources})
    target_include_directories(${name} PUBLIC ${_thaw_includes})
    target_link_libraries(${name} PUBLIC ${ARG_DEPENDS} PRIVATE $<BUILD_INTERFACE:thaw_compile_options>)
    thaw_precompile(${name} library ${sources})
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE ${_thaw_includes})
    target_link_libraries(${name} INTERFACE ${ARG_DEPENDS})
  endif()

  if(cuda_sources AND THAW_CUDA_COMPILE)
    add_library(${name}_cuda STATIC ${cuda_sources})
    target_include_directories(${name}_cuda PUBLIC ${_thaw_includes})
    target_compile_definitions(${name}_cuda PRIVATE THAW_HAVE_CUDA)
    target_link_libraries(${name}_cuda PUBLIC ${ARG_DEPENDS} thaw_torch_cuda thaw_nccl
                                       PRIVATE $<BUILD_INTERFACE:thaw_compile_options>)
    if(THAW_CUDA_LINK)
      target_link_libraries(${name} INTERFACE ${name}_cuda)
      if(sources)  # each may call the other: both are static, so the linker looks again
        target_link_libraries(${name}_cuda INTERFACE ${name})
      endif()
    endif()
  endif()
endfunction()
