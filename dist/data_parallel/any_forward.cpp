#include <fmt/format.h>

#include "core/base/error.h"
#include "dist/data_parallel/data_parallel.h"

namespace thaw {

AnyForward::Result AnyForward::operator()(Arguments& arguments) const {
  const auto* only =
      arguments.size() == 1 ? std::any_cast<at::Tensor>(&arguments.front()) : nullptr;
  if (only != nullptr && of_tensor_ && parameters_ != 1) return of_tensor_(*only);
  if (!of_any_) {
    throw InputError(
        "forward: this module has no forward of its own that takes these arguments; say "
        "announce(samples) and call the module's");
  }
  if (arguments.size() != parameters_) {
    throw InputError(fmt::format("forward: {} arguments, but the module's forward takes {}",
                                 arguments.size(), parameters_));
  }
  try {
    return of_any_(arguments);
  } catch (const std::bad_any_cast&) {
    throw InputError(
        "forward: the arguments are of other types than the module's forward takes: give them "
        "exactly as it declares them");
  }
}

}  // namespace thaw
