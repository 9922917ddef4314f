# thaw_test_folder(FOLDER LIBRARY): tests/FOLDER/*_test.cpp become one executable of GoogleTests.
function(thaw_test_folder folder library)
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*_test.cpp")
  if(NOT sources)
    return()
  endif()
  string(REPLACE "/" "_" name "test_${folder}")
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${library} GTest::gmock GTest::gtest_main thaw_compile_options)
  target_compile_definitions(${name} PRIVATE THAW_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  gtest_discover_tests(${name} TEST_PREFIX "${folder}/" DISCOVERY_TIMEOUT 60
                       PROPERTIES TIMEOUT 120 ENVIRONMENT "OMP_NUM_THREADS=2")
endfunction()

# thaw_mpi_test(NAME TARGET RANKS n... [ARGS a...] [LABELS l...] [TIMEOUT s]): one ctest entry for
# each rank count, run under mpirun as real processes.
function(thaw_mpi_test name target)
  cmake_parse_arguments(ARG "" "TIMEOUT" "RANKS;ARGS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  foreach(ranks IN LISTS ARG_RANKS)
    add_test(NAME ${name}/ranks=${ranks}
      COMMAND ${MPIEXEC_EXECUTABLE} --oversubscribe --bind-to none --allow-run-as-root
              -n ${ranks} $<TARGET_FILE:${target}> ${ARG_ARGS})
    set_tests_properties(${name}/ranks=${ranks} PROPERTIES
      TIMEOUT ${ARG_TIMEOUT} LABELS "mpi;${ARG_LABELS}" PROCESSORS 2
      ENVIRONMENT "OMP_NUM_THREADS=1;OMPI_MCA_mpi_yield_when_idle=1;OMPI_MCA_rmaps_base_oversubscribe=1")
  endforeach()
endfunction()
