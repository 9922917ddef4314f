// Preloaded, it makes HDF5's library fail on every file as THAW_HDF5_FAULT says. What damaged files
// do to the library differs between its versions; this does not.

#include <hdf5.h>

#include <csignal>
#include <cstdlib>
#include <string_view>
#include <vector>

extern "C" hid_t H5Fopen(const char*, unsigned, hid_t) {
  const char* set = std::getenv("THAW_HDF5_FAULT");
  const std::string_view fault = set == nullptr ? "" : set;
  if (fault == "crash") std::raise(SIGSEGV);
  if (fault == "abort") std::abort();
  if (fault == "exit") std::_Exit(0x55);
  volatile bool forever = fault == "loop";
  while (forever) {
  }
  static std::vector<char> taken;
  if (fault == "memory") taken.resize(std::size_t{4} << 30);
  return -1;
}
