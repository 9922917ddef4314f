#include "core/models/cast_cache.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>

namespace thaw {

at::Tensor CastCache::get(const at::Tensor& weight) {
  const at::DeviceType device = weight.device().type();
  if (!at::autocast::is_autocast_enabled(device)) {
    return weight;
  }
  if (weight.requires_grad()) {
    clear();
    return weight;
  }
  const at::ScalarType wanted = at::autocast::get_autocast_dtype(device);
  // A write in place raises the version; `set_data`, as Module::to uses, changes the storage.
  const bool fresh = copy_.defined() && copy_.scalar_type() == wanted && source_.is_same(weight) &&
                     storage_ == weight.const_data_ptr() && version_ == weight._version();
  if (!fresh) {
    const at::NoGradGuard no_grad;
    copy_ = weight.detach().to(wanted);
    source_ = weight;
    storage_ = weight.const_data_ptr();
    version_ = weight._version();
  }
  return copy_;
}

void CastCache::clear() {
  source_.reset();
  copy_.reset();
}

}  // namespace thaw
