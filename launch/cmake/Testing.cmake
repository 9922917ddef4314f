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

set(_test_environment "THAW_TEST_DATA=${THAW_TEST_DATA}" "THAW_TEST_PYTHON=${THAW_TEST_PYTHON}")

# Open MPI as a test wants it: more ranks than cores, as root too (CI runs in containers), no word
# about shared memory that a container does not allow. Other MPIs do not look at these.
set(_mpi_environment
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
  OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1
  OMPI_MCA_btl_vader_single_copy_mechanism=none)

# What tests share: tests/support/.
add_library(thaw_test_support STATIC "${PROJECT_SOURCE_DIR}/tests/support/paths.cpp")
target_include_directories(thaw_test_support PUBLIC "${PROJECT_SOURCE_DIR}")
# Known at compile time, since gtest_discover_tests cannot hand down an environment of several
# variables (CMake 3.25 drops all but the first).
target_compile_definitions(thaw_test_support PRIVATE
  "THAW_SOURCE_DIR=\"${PROJECT_SOURCE_DIR}\"" "THAW_TEST_DATA=\"${THAW_TEST_DATA}\""
  "THAW_TEST_PYTHON=\"${THAW_TEST_PYTHON}\"")
target_link_libraries(thaw_test_support PRIVATE thaw_compile_options)

# thaw_test_folder(FOLDER LIBRARIES): tests/FOLDER/*_test.cpp become one executable of GoogleTests,
# `test_` and the folder's name with underscores. A CMakeLists.txt there may add more.
function(thaw_test_folder folder libraries)
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*_test.cpp")
  if(NOT sources)
    return()
  endif()
  string(REPLACE "/" "_" name "test_${folder}")
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${libraries} thaw_test_support GTest::gmock GTest::gtest_main
                                        thaw_compile_options)
  thaw_precompile(${name} test ${sources})
  gtest_discover_tests(${name} TEST_PREFIX "${folder}/" DISCOVERY_TIMEOUT 300
                       PROPERTIES TIMEOUT 120 LABELS unit
                                  ENVIRONMENT OMP_NUM_THREADS=2)
  if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${folder}/CMakeLists.txt")
    add_subdirectory("${folder}")
  endif()
endfunction()

# thaw_mpi_test(NAME TARGET RANKS n... [ARGS a...] [LABELS l...] [TIMEOUT s]): one ctest entry for
# each rank count, run by the MPI's own launcher as real processes.
function(thaw_mpi_test name target)
  cmake_parse_arguments(ARG "" "TIMEOUT" "RANKS;ARGS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  foreach(ranks IN LISTS ARG_RANKS)
    set(test "${name}/ranks=${ranks}")
    set(processors "${ranks}")
    if(ranks GREATER 2)
      set(processors 2)
    endif()
    add_test(NAME "${test}"
      COMMAND "${MPIEXEC_EXECUTABLE}" ${MPIEXEC_NUMPROC_FLAG} ${ranks} ${MPIEXEC_PREFLAGS}
              $<TARGET_FILE:${target}> ${MPIEXEC_POSTFLAGS} ${ARG_ARGS})
    set_tests_properties("${test}" PROPERTIES
      TIMEOUT ${ARG_TIMEOUT} LABELS "mpi;${ARG_LABELS}" PROCESSORS ${processors}
      ENVIRONMENT "OMP_NUM_THREADS=1;${_mpi_environment};${_test_environment}")
  endforeach()
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
  foreach(script IN LISTS scripts)
    get_filename_component(name "${script}" NAME_WE)
    add_test(NAME "${folder}/${name}" COMMAND "${THAW_TEST_PYTHON}" "${script}"
             WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    thaw_python_properties("${folder}/${name}" TIMEOUT 900 LABELS python)
  endforeach()
endfunction()
