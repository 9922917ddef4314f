# Everything that Thaw is built on: what its users need too (ThirdParty.cmake), and what only its
# own sources and tests include. What is missing is told in one message with Debian's package names.
include(ThirdParty)

_thaw_find_third_party()
_thaw_find_package(nlohmann_json nlohmann-json3-dev 3.9)
if(THAW_BUILD_TESTS)
  _thaw_find_package(GTest "libgtest-dev;libgmock-dev")
endif()
_thaw_find_c(tomlplusplus HEADER toml++/toml.h)
if(NOT tomlplusplus_INCLUDE)
  _thaw_missing("toml++ 3  [-Dtomlplusplus_ROOT=DIR]" libtomlplusplus-dev)
endif()
_thaw_find_c(xxHash HEADER xxhash.h)
if(NOT xxHash_INCLUDE)
  _thaw_missing("xxHash 0.8  [-DxxHash_ROOT=DIR]" libxxhash-dev)
endif()

_thaw_tell_missing("Thaw cannot be built yet." _problem)
if(_problem)
  message(FATAL_ERROR "${_problem}")
endif()

add_library(thaw_toml INTERFACE)
target_include_directories(thaw_toml SYSTEM INTERFACE "${tomlplusplus_INCLUDE}")
add_library(thaw_xxhash INTERFACE)
target_include_directories(thaw_xxhash SYSTEM INTERFACE "${xxHash_INCLUDE}")
target_compile_definitions(thaw_xxhash INTERFACE XXH_INLINE_ALL)
