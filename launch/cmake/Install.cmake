# `cmake --install`: the command, the libraries, the public headers and a CMake package. What is
# installed names neither the source nor the build folder, and may be moved as a whole.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Thaw::thaw, all of the library: what a program links, from here or installed.
add_library(thaw_everything INTERFACE)
add_library(Thaw::thaw ALIAS thaw_everything)
target_include_directories(thaw_everything INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
target_link_libraries(thaw_everything INTERFACE thaw_data_parallel)

set(_exported thaw_everything)
foreach(_part core dist)
  get_property(_targets DIRECTORY "${PROJECT_SOURCE_DIR}/${_part}" PROPERTY BUILDSYSTEM_TARGETS)
  list(APPEND _exported ${_targets})
endforeach()
if(NOT THAW_CUDA_LINK)  # see Note [Compiled is not linked]
  list(FILTER _exported EXCLUDE REGEX "_cuda$")
endif()
foreach(_target IN LISTS _exported)
  string(REGEX REPLACE "^thaw_" "" _name "${_target}")
  set_target_properties(${_target} PROPERTIES EXPORT_NAME "${_name}")
endforeach()
set_target_properties(thaw_everything PROPERTIES EXPORT_NAME thaw)

set(_package "${CMAKE_INSTALL_LIBDIR}/cmake/Thaw")
install(TARGETS ${_exported} EXPORT ThawTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(EXPORT ThawTargets NAMESPACE Thaw:: DESTINATION "${_package}")
if(TARGET thaw)
  # Finds LibTorch and MPI where they were found for the build.
  set_target_properties(thaw thaw_hdf5_probe PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  # Whoever has built the command, as the quick start does, has built all that is installed.
  add_dependencies(thaw ${_exported})
  install(TARGETS thaw thaw_hdf5_probe RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT command)
  install(PROGRAMS launch/prepare.py launch/import_gguf.py launch/tokenize_prompts.py
                   launch/prepare_samples.py
          DESTINATION share/thaw/launch COMPONENT command)
  install(DIRECTORY launch/preparation DESTINATION share/thaw/launch COMPONENT command
          FILES_MATCHING PATTERN "*.py")
  install(DIRECTORY cluster/networks DESTINATION share/thaw COMPONENT command)
endif()
install(CODE "set(THAW_SOURCE [[${PROJECT_SOURCE_DIR}]])
              set(THAW_HEADERS_INTO \"\${CMAKE_INSTALL_PREFIX}/include\")")
install(SCRIPT "${CMAKE_CURRENT_LIST_DIR}/PublicHeaders.cmake")

configure_file("${CMAKE_CURRENT_LIST_DIR}/ThawConfig.cmake.in"
               "${CMAKE_CURRENT_BINARY_DIR}/ThawConfig.cmake" @ONLY)
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/ThawConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/ThawConfig.cmake"
              "${CMAKE_CURRENT_BINARY_DIR}/ThawConfigVersion.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/ThirdParty.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/ImportTorch.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/CudaTargets.cmake"
        DESTINATION "${_package}")
