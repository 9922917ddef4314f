#include "core/base/glob.h"

#include <fnmatch.h>

namespace thaw {

bool glob_match(const std::string& pattern, const std::string& name) {
  return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

}  // namespace thaw
