# Read by cpack for each kind of package, as it makes it.
#
# An archive is unpacked anywhere, into a folder of its own; what a .deb holds lies where its paths say.
if(CPACK_GENERATOR STREQUAL "DEB")
  set(CPACK_COMPONENT_INCLUDE_TOPLEVEL_DIRECTORY OFF)
else()
  set(CPACK_COMPONENT_INCLUDE_TOPLEVEL_DIRECTORY ON)
endif()
