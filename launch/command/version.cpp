#include "launch/command/version.h"

#include <H5public.h>
#include <fmt/format.h>
#include <mpi.h>
#include <torch/version.h>

namespace thaw {

std::string version_text() {
  char mpi[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  MPI_Get_library_version(mpi, &length);
  const std::string library(mpi, static_cast<std::size_t>(length));
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  H5get_libversion(&major, &minor, &release);
#ifdef THAW_HAVE_CUDA
  const char* cuda = "yes";
#else
  const char* cuda = "no";
#endif
  return fmt::format("thaw {}\nLibTorch {}\nMPI {}\nHDF5 {}.{}.{}\nCUDA {}\n", THAW_VERSION,
                     TORCH_VERSION, library.substr(0, library.find(',')), major, minor, release,
                     cuda);
}

std::string version_line() {
  std::string text = version_text();
  text.pop_back();
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
    text.replace(end, 1, ", ");
  }
  return text;
}

const char* thaw_version() { return THAW_VERSION; }

}  // namespace thaw
