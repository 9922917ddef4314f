# Copies the public headers to ${THAW_HEADERS_INTO}: include/thaw/*.h and, beside them, whatever
# these include of the project, under the paths that they include it by. Run as a script, so that it
# follows the includes of the moment:
#   cmake -D THAW_SOURCE=DIR -D THAW_HEADERS_INTO=DIR -P PublicHeaders.cmake
# and by `cmake --install`, which sets the same two.

cmake_policy(VERSION 3.22)
file(GLOB _waiting RELATIVE "${THAW_SOURCE}/include" "${THAW_SOURCE}/include/thaw/*.h")
set(_known ${_waiting})
set(_umbrella ${_waiting})
while(_waiting)
  list(POP_FRONT _waiting _header)
  if(_header IN_LIST _umbrella)
    set(_file "${THAW_SOURCE}/include/${_header}")
    get_filename_component(_folder "${THAW_HEADERS_INTO}/${_header}" DIRECTORY)
  else()
    set(_file "${THAW_SOURCE}/${_header}")
    get_filename_component(_folder "${THAW_HEADERS_INTO}/thaw/${_header}" DIRECTORY)
  endif()
  file(INSTALL DESTINATION "${_folder}" TYPE FILE FILES "${_file}")
  file(STRINGS "${_file}" _lines REGEX "^#[ \t]*include[ \t]+\"")
  foreach(_line IN LISTS _lines)
    string(REGEX REPLACE "^#[ \t]*include[ \t]+\"([^\"]+)\".*$" "\\1" _included "${_line}")
    if(NOT _included IN_LIST _known)
      list(APPEND _known "${_included}")
      list(APPEND _waiting "${_included}")
    endif()
  endforeach()
endwhile()
