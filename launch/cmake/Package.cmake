# `cpack` in the build folder: a .deb and a .tar.xz of the command.
#
# Note [LibTorch beside a package]
# LibTorch is 1 to 5 GB, comes as pip's wheel, and lies wherever its user's Python does. So a package
# holds the program without run paths in lib/thaw, and as bin/thaw a script that finds LibTorch and
# starts it (launch/package/thaw.in). All other libraries are Debian's, which dpkg-shlibdeps finds.
if(NOT TARGET thaw)
  return()
endif()

# thaw_install_manual(COMPONENT ZSH_FOLDER [EXCLUDE_FROM_ALL]): completion and the manual's page, made
# by the program itself: see Note [One source of the manual].
function(thaw_install_manual component zsh_folder)
  set(texts "completion bash" share/bash-completion/completions/thaw
            "completion zsh" "${zsh_folder}/_thaw" man share/man/man1/thaw.1)
  while(texts)
    list(POP_FRONT texts words place)
    string(REPLACE " " "\" \"" arguments "${words}")
    install(CODE "
      set(_place \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${place}\")
      message(STATUS \"Installing: \${_place}\")
      get_filename_component(_folder \"\${_place}\" DIRECTORY)
      file(MAKE_DIRECTORY \"\${_folder}\")
      execute_process(COMMAND \"$<TARGET_FILE:thaw>\" \"${arguments}\" OUTPUT_FILE \"\${_place}\"
                      RESULT_VARIABLE _status)
      if(_status)
        file(REMOVE \"\${_place}\")
        message(FATAL_ERROR \"thaw ${words} ended with \${_status}\")
      endif()" COMPONENT ${component} ${ARGN})
  endwhile()
endfunction()
thaw_install_manual(command share/zsh/site-functions)

# --- What a package holds -------------------------------------------------------------------------
string(REGEX MATCH "^[0-9]+\\.[0-9]+" THAW_PACKAGE_TORCH "${THAW_TORCH_VERSION}")
set(THAW_PACKAGE_LIBRARIES "libtorch_cpu.so libc10.so")
file(GLOB _openmp "${THAW_TORCH_FOLDER}/lib/libgomp*.so*" "${THAW_TORCH_FOLDER}/lib/libiomp5.so")
if(_openmp)  # the one that ImportTorch.cmake links, whose name the wheel's makers have drawn
  list(GET _openmp 0 _openmp)
  get_filename_component(_openmp "${_openmp}" NAME)
  string(APPEND THAW_PACKAGE_LIBRARIES " ${_openmp}")
endif()
set(THAW_PACKAGE_CUDA "")
set(_library_folders "${THAW_TORCH_FOLDER}/lib" ${THAW_TORCH_RUN_PATH})
if(THAW_CUDA_LINK)  # see Note [Compiled is not linked]
  string(APPEND THAW_PACKAGE_LIBRARIES " libtorch_cuda.so libc10_cuda.so")
  set(THAW_PACKAGE_CUDA "libnccl.so.2")
  list(APPEND _library_folders ${THAW_TORCH_CUDA_RUN_PATH} "${CUDAToolkit_LIBRARY_DIR}")
  get_filename_component(_nccl "${NCCL_LIBRARY}" DIRECTORY)
  list(APPEND _library_folders "${_nccl}")
endif()
configure_file("${PROJECT_SOURCE_DIR}/launch/package/thaw.in" "${CMAKE_CURRENT_BINARY_DIR}/package/thaw"
               @ONLY)
set(_part COMPONENT package EXCLUDE_FROM_ALL)
install(PROGRAMS "${CMAKE_CURRENT_BINARY_DIR}/package/thaw" DESTINATION bin ${_part})
install(TARGETS thaw thaw_hdf5_probe RUNTIME DESTINATION lib/thaw ${_part})
install(CODE "
  set(_place \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\")
  foreach(_program thaw thaw-hdf5-probe)
    file(RPATH_REMOVE FILE \"\${_place}/lib/thaw/\${_program}\")
  endforeach()
  file(CREATE_LINK ../../share/thaw/launch \"\${_place}/lib/thaw/thaw-scripts\" SYMBOLIC)
  file(CREATE_LINK ../../share/thaw/networks \"\${_place}/lib/thaw/thaw-networks\" SYMBOLIC)
  file(MAKE_DIRECTORY \"\${_place}/bin\")
  file(CREATE_LINK ../lib/thaw/thaw-hdf5-probe \"\${_place}/bin/thaw-hdf5-probe\" SYMBOLIC)" ${_part})
file(GLOB _scripts CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/launch/*.py")
install(PROGRAMS ${_scripts} DESTINATION share/thaw/launch ${_part})
install(DIRECTORY launch/preparation DESTINATION share/thaw/launch ${_part}
        FILES_MATCHING PATTERN "*.py")
install(DIRECTORY configs cluster/networks cluster/slurm DESTINATION share/thaw ${_part})
thaw_install_manual(package share/zsh/vendor-completions EXCLUDE_FROM_ALL)
install(FILES README.md DESTINATION share/doc/thaw ${_part})
install(FILES LICENSE DESTINATION share/doc/thaw RENAME copyright ${_part})

# --- The packages ---------------------------------------------------------------------------------
set(CPACK_GENERATOR DEB TXZ)
set(CPACK_PACKAGE_NAME thaw)
set(CPACK_PACKAGE_VENDOR "Thaw")
set(CPACK_PACKAGE_CONTACT "Thaw's authors <thaw@localhost>" CACHE STRING "Maintainer, in packages")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_FILE_NAME "thaw-${PROJECT_VERSION}-linux-${CMAKE_SYSTEM_PROCESSOR}")
set(CPACK_RESOURCE_FILE_LICENSE "${PROJECT_SOURCE_DIR}/LICENSE")
set(CPACK_COMPONENTS_ALL package)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)
set(CPACK_PROJECT_CONFIG_FILE "${PROJECT_SOURCE_DIR}/launch/package/generators.cmake")
set(CPACK_ARCHIVE_THREADS 0)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "openmpi-bin, python3")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "python3-venv, python3-pip, man-db, bash-completion")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "${PROJECT_DESCRIPTION}.
 It needs LibTorch ${THAW_PACKAGE_TORCH}, which comes with Python's torch: python3 -m venv ~/thaw-torch;
 ~/thaw-torch/bin/pip install 'torch==${THAW_PACKAGE_TORCH}.*'; export THAW_TORCH=~/thaw-torch")
find_program(THAW_SHLIBDEPS dpkg-shlibdeps)
mark_as_advanced(THAW_SHLIBDEPS)
if(THAW_SHLIBDEPS)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${_library_folders})
else()
  message(STATUS "dpkg-shlibdeps (Debian's dpkg-dev) is not here: a .deb would not name its libraries")
endif()
include(CPack)
