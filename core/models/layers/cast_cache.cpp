#include "core/models/layers/cast_cache.h"

#include <ATen/core/grad_mode.h>

namespace thaw {

at::Tensor CastCache::get(const at::Tensor& weight, at::ScalarType dtype) {
  if (weight.scalar_type() == dtype) {
    return weight;
  }
  if (weight.requires_grad()) {
    clear();
    return weight.to(dtype);
  }
  // A write in place raises the version; `set_data`, as Module::to uses, changes the data.
  const bool fresh = copy_.defined() && copy_.scalar_type() == dtype &&
                     source_ == weight.const_data_ptr() && version_ == weight._version();
  if (!fresh) {
    const at::NoGradGuard no_grad;
    copy_ = weight.to(dtype);
    source_ = weight.const_data_ptr();
    version_ = weight._version();
  }
  return copy_;
}

void CastCache::clear() { copy_.reset(); }

}  // namespace thaw
