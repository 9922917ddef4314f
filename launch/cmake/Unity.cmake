# Unity builds: several source files compiled as one, for who builds all once.
#
# Note [Who builds all once compiles rooms]
# Most of what a file costs is the same for its neighbours: headers, and the templates of LibTorch, of
# the JSON and TOML libraries that each instantiates anew. Compiled together, a room's files cost
# little more than one. So the set-up scripts and CI do that, with -DTHAW_UNITY_BUILD=ON; by default,
# where one file is changed and built again, each is compiled by itself.
#
# CMake's own UNITY_BUILD leaves out every file that has options of its own, as all have by which
# precompiled header they get. Here files of one folder that get the same header lie together, so that
# one that knows nothing of LibTorch goes on not knowing it. What it asks of them: two files of a folder
# do not define the same name, in unnamed namespaces either, and none leaves a macro behind.

option(THAW_UNITY_BUILD "Compile the files of a folder together: faster where all is built" OFF)

set(_thaw_unity_files 8)  # at most so many: jobs enough for all cores, and within 2 GiB each

# The copy of a test, as said above, in `out`: a path as unity files include it.
function(_thaw_test_of_its_own path out)
  set(source "${PROJECT_SOURCE_DIR}/${path}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")
  file(READ "${source}" text)
  string(MAKE_C_IDENTIFIER "${path}" name)
  string(REPLACE "\nnamespace thaw {" "\nnamespace thaw::${name} {" text "#line 1 \"${source}\"\n${text}")
  set(copy "${PROJECT_BINARY_DIR}/unity/${path}")
  set(present "")
  if(EXISTS "${copy}")
    file(READ "${copy}" present)
  endif()
  if(NOT present STREQUAL text)
    file(WRITE "${copy}" "${text}")
  endif()
  set(${out} "${copy}" PARENT_SCOPE)
endfunction()

# thaw_unity(OUT KIND SOURCES...): what to compile for these, in OUT. KIND is library or test,
# or another word for files that a library has too. A file that has properties of its own stays by
# itself.
function(thaw_unity out kind)
  if(NOT THAW_UNITY_BUILD)
    set(${out} "${ARGN}" PARENT_SCOPE)
    return()
  endif()
  set(prefix "")
  if(NOT kind MATCHES "^(library|test)$")
    set(prefix "${kind}_")
  endif()
  set(result "")
  set(groups "")
  foreach(source IN LISTS ARGN)
    get_source_file_property(own "${source}" COMPILE_DEFINITIONS)
    file(RELATIVE_PATH path "${PROJECT_SOURCE_DIR}" "${source}")
    if(own OR path MATCHES "^\\.\\.")
      list(APPEND result "${source}")
      continue()
    endif()
    _thaw_reached_level("${source}" level)
    get_filename_component(folder "${path}" DIRECTORY)
    string(REPLACE "/" "_" group "${folder}_${level}")
    if(kind STREQUAL test)
      _thaw_test_of_its_own("${path}" path)
    endif()
    list(APPEND groups "${group}")
    list(APPEND _files_${group} "${path}")
  endforeach()
  list(REMOVE_DUPLICATES groups)
  foreach(group IN LISTS groups)
    list(LENGTH _files_${group} count)
    math(EXPR pieces "(${count} + ${_thaw_unity_files} - 1) / ${_thaw_unity_files}")
    math(EXPR size "(${count} + ${pieces} - 1) / ${pieces}")
    foreach(piece RANGE 1 ${pieces})
      math(EXPR first "(${piece} - 1) * ${size}")
      list(SUBLIST _files_${group} ${first} ${size} files)
      list(TRANSFORM files REPLACE "(.+)" "#include \"\\1\"")
      list(JOIN files "\n" CONTENT)
      set(file "${PROJECT_BINARY_DIR}/unity/${prefix}${group}_${piece}.cpp")
      file(CONFIGURE OUTPUT "${file}" CONTENT "@CONTENT@\n" @ONLY)
      # GCC takes what is in an unnamed namespace here for a header's, which each file would define.
      set_property(SOURCE "${file}" APPEND PROPERTY COMPILE_OPTIONS
                   $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
      list(APPEND result "${file}")
    endforeach()
  endforeach()
  set(${out} "${result}" PARENT_SCOPE)
endfunction()
