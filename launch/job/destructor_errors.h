#pragma once

namespace thaw {

/// Has the process say what of LibTorch's comes out of a destructor, and end with status 3.
void tell_destructor_errors();

}  // namespace thaw
