# How tests are registered.

set(THAW_TEST_DATA "${PROJECT_SOURCE_DIR}/../shared/data" CACHE PATH
    "Larger data of the tests; a test that misses its file there is skipped")
set(_python "${PROJECT_SOURCE_DIR}/.venv/bin/python3")
if(NOT EXISTS "${_python}")
  find_program(THAW_SYSTEM_PYTHON python3)
  mark_as_advanced(THAW_SYSTEM_PYTHON)
  set(_python "${THAW_SYSTEM_PYTHON}")
endif()
set(THAW_TEST_PYTHON "${_python}" CACHE FILEPATH
    "Python of the tests, with numpy, h5py and tokenizers for those of data preparation")

# Two tests at a time have more threads than cores, and a thread that spins while it waits keeps the one
# from working that it waits for: LibTorch's models against PyTorch took 73 s so, 21 s without.
set(_threads_environment OMP_WAIT_POLICY=PASSIVE)
set(_test_environment "THAW_TEST_DATA=${THAW_TEST_DATA}" "THAW_TEST_PYTHON=${THAW_TEST_PYTHON}"
                      ${_threads_environment})

# Open MPI as a test wants it: more ranks than cores, as root too (CI runs in containers), no word
# about shared memory that a container does not allow. Other MPIs do not look at these.
set(_mpi_environment
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
  OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1
  OMPI_MCA_btl_vader_single_copy_mechanism=none)

# What tests share: tests/support/.
add_library(thaw_test_support STATIC "${PROJECT_SOURCE_DIR}/tests/support/paths.cpp")
target_include_directories(thaw_test_support PUBLIC "${PROJECT_SOURCE_DIR}")
# Known at compile time, so that a test program also runs by hand.
target_compile_definitions(thaw_test_support PRIVATE
  "THAW_SOURCE_DIR=\"${PROJECT_SOURCE_DIR}\"" "THAW_TEST_DATA=\"${THAW_TEST_DATA}\""
  "THAW_TEST_PYTHON=\"${THAW_TEST_PYTHON}\"")
target_link_libraries(thaw_test_support PRIVATE thaw_compile_options)

# _thaw_uses_torch(LIBRARIES OUT): whether any of these libraries of the project links LibTorch.
function(_thaw_uses_torch libraries out)
  set(${out} OFF PARENT_SCOPE)
  foreach(library IN LISTS libraries)
    if(library MATCHES "^thaw_torch$|_cuda$")  # a CUDA part links its library, which links it
      set(${out} ON PARENT_SCOPE)
    elseif(TARGET ${library} AND library MATCHES "^thaw_")
      get_target_property(linked ${library} INTERFACE_LINK_LIBRARIES)
      _thaw_uses_torch("${linked}" found)
      if(found)
        set(${out} ON PARENT_SCOPE)
      endif()
    endif()
  endforeach()
endfunction()

# _thaw_discover_tests(TARGET BY TEMPLATE): lists the target's tests for ctest, as TEMPLATE says for
# each suite or case (DiscoverTests.cmake), whenever it is built.
function(_thaw_discover_tests target by template)
  set(stem "${CMAKE_CURRENT_BINARY_DIR}/${target}")
  file(GENERATE OUTPUT "${stem}_template.cmake" CONTENT "${template}")
  add_custom_command(TARGET ${target} POST_BUILD VERBATIM
    COMMAND "${CMAKE_COMMAND}" -E env ${_mpi_environment} "${CMAKE_COMMAND}"
            "-DTHAW_PROGRAM=$<TARGET_FILE:${target}>" -DTHAW_BY=${by}
            "-DTHAW_TEMPLATE=${stem}_template.cmake" "-DTHAW_OUTPUT=${stem}_tests.cmake"
            -P "${PROJECT_SOURCE_DIR}/launch/cmake/DiscoverTests.cmake")
  file(WRITE "${stem}_include.cmake"
       "if(EXISTS \"${stem}_tests.cmake\")\n  include(\"${stem}_tests.cmake\")\n"
       "else()\n  add_test(${target}_NOT_BUILT ${target}_NOT_BUILT)\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${stem}_include.cmake")
endfunction()

# thaw_test_folder(FOLDER LIBRARIES): tests/FOLDER/*_test.cpp become one executable of GoogleTests,
# `test_` and the folder's name with underscores. ctest runs it as one process where it does without
# LibTorch, else as a process a suite: a process that loads LibTorch takes a second to start. A
# CMakeLists.txt there may add more.
function(thaw_test_folder folder libraries)
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*_test.cpp")
  if(NOT sources)
    message(FATAL_ERROR "tests/${folder} is registered and holds no *_test.cpp")
  endif()
  set_property(GLOBAL APPEND PROPERTY THAW_TEST_SOURCES ${sources})
  set_property(GLOBAL APPEND PROPERTY THAW_TESTED_FOLDERS "${PROJECT_SOURCE_DIR}/${folder}")
  string(REPLACE "/" "_" name "test_${folder}")
  thaw_unity(compiled test ${sources})
  add_executable(${name} ${compiled})
  target_link_libraries(${name} PRIVATE ${libraries} thaw_test_support GTest::gmock GTest::gtest_main
                                        thaw_compile_options)
  thaw_precompile(${name} test ${compiled})
  _thaw_uses_torch("${libraries}" uses_torch)
  if(uses_torch)
    _thaw_discover_tests(${name} suite "\
add_test(\"${folder}/<NAME>\" \"$<TARGET_FILE:${name}>\" \"--gtest_filter=<FILTER>\")
set_tests_properties(\"${folder}/<NAME>\" PROPERTIES
  TIMEOUT 600 LABELS unit ENVIRONMENT \"OMP_NUM_THREADS=2;${_threads_environment}\")
")
  else()
    add_test(NAME ${folder} COMMAND ${name})
    set_tests_properties(${folder} PROPERTIES TIMEOUT 600 LABELS unit
                         ENVIRONMENT "OMP_NUM_THREADS=2;${_threads_environment}")
  endif()
  if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${folder}/CMakeLists.txt")
    add_subdirectory("${folder}")
  endif()
endfunction()

# thaw_every_test_is_registered(): a *_test.cpp in a folder that nobody registered is an error, and
# so is a library whose folder has no tests.
function(thaw_every_test_is_registered)
  get_property(untested GLOBAL PROPERTY THAW_LIBRARY_FOLDERS)
  get_property(tested GLOBAL PROPERTY THAW_TESTED_FOLDERS)
  list(REMOVE_ITEM untested ${tested})
  if(untested)
    list(JOIN untested "\n  " lines)
    message(FATAL_ERROR "Libraries without tests in tests/CMakeLists.txt:\n  ${lines}")
  endif()
  file(GLOB_RECURSE present CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*_test.cpp")
  get_property(registered GLOBAL PROPERTY THAW_TEST_SOURCES)
  list(REMOVE_ITEM present ${registered})
  if(present)
    list(JOIN present "\n  " lines)
    message(FATAL_ERROR "Not in a folder that tests/CMakeLists.txt registers:\n  ${lines}")
  endif()
endfunction()

# thaw_mpi_test(NAME TARGET RANKS n... [TIMEOUT s]): each GoogleTest of the target is a ctest entry for
# each rank count, run by the MPI's own launcher as real processes.
function(thaw_mpi_test name target)
  cmake_parse_arguments(ARG "" "TIMEOUT" "RANKS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  get_target_property(sources ${target} SOURCES)
  set_property(GLOBAL APPEND PROPERTY THAW_TEST_SOURCES ${sources})
  set(template "")
  foreach(ranks IN LISTS ARG_RANKS)
    set(test "${name}/<NAME>/ranks=${ranks}")
    set(processors "${ranks}")
    if(ranks GREATER 2)
      set(processors 2)
    endif()
    set(command "${MPIEXEC_EXECUTABLE}" ${MPIEXEC_NUMPROC_FLAG} ${ranks} ${MPIEXEC_PREFLAGS}
                "$<TARGET_FILE:${target}>" ${MPIEXEC_POSTFLAGS} "--gtest_filter=<FILTER>")
    list(JOIN command "\" \"" command)
    string(APPEND template "\
add_test(\"${test}\" \"${command}\")
set_tests_properties(\"${test}\" PROPERTIES
  TIMEOUT ${ARG_TIMEOUT} LABELS mpi PROCESSORS ${processors}
  ENVIRONMENT \"OMP_NUM_THREADS=1;${_mpi_environment};${_test_environment}\")
")
  endforeach()
  _thaw_discover_tests(${target} case "${template}")
endfunction()

# thaw_python_properties(TEST PROPERTY value...): the environment of tests that run the command.
function(thaw_python_properties test)
  set(_command_environment "THAW_MPIEXEC=${MPIEXEC_EXECUTABLE}" ${_mpi_environment})
  if(TARGET thaw)
    list(APPEND _command_environment "THAW_COMMAND=$<TARGET_FILE:thaw>")
  endif()
  set_tests_properties("${test}" PROPERTIES ${ARGN} SKIP_RETURN_CODE 77
    ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;${_test_environment};${_command_environment}")
endfunction()

# thaw_python_tests(FOLDER): each tests/FOLDER/*_test.py is a ctest entry; it ends with status 77
# where it cannot run.
function(thaw_python_tests folder)
  file(GLOB scripts CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*_test.py")
  if(NOT scripts)
    message(FATAL_ERROR "tests/${folder} is registered and holds no *_test.py")
  endif()
  foreach(script IN LISTS scripts)
    get_filename_component(name "${script}" NAME_WE)
    add_test(NAME "${folder}/${name}" COMMAND "${THAW_TEST_PYTHON}" "${script}"
             WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    thaw_python_properties("${folder}/${name}" TIMEOUT 900 LABELS python)
  endforeach()
endfunction()
