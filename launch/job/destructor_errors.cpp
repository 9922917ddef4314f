#include "launch/job/destructor_errors.h"

#include <c10/util/Exception.h>

#include <cstdlib>
#include <exception>

#include "core/base/error.h"
#include "core/base/text_bytes.h"
#include "dist/coordination/job_end.h"

namespace thaw {
namespace {

// Note [Errors out of destructors]
// A GPU that has failed fails at whatever it is asked. LibTorch asks it in destructors too: memory
// that several streams have used is marked on each of them when it goes (record_stream, pinned
// memory). So while the error of a launch unwinds, a second comes out of a destructor, and ends the
// process before the first is told. It says the same, for CUDA repeats it; so it is what is told.

std::terminate_handler other_handler = nullptr;

[[noreturn]] void tell_and_end() {
  try {
    if (const std::exception_ptr error = std::current_exception()) std::rethrow_exception(error);
  } catch (const c10::Error& error) {
    print_now(printable_lines(error.what_without_backtrace()));
    std::_Exit(static_cast<int>(ExitStatus::kFailed));
  } catch (...) {
    if (other_handler != nullptr) other_handler();  // not known here: ends as it always does
  }
  std::abort();
}

}  // namespace

void tell_destructor_errors() {
  if (const std::terminate_handler now = std::set_terminate(tell_and_end); now != tell_and_end) {
    other_handler = now;
  }
}

}  // namespace thaw
