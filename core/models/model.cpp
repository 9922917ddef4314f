#include "core/models/model.h"

#include "core/base/error.h"

namespace thaw {

void Model::set_precision(at::ScalarType compute) {
  if (compute != at::kFloat) {
    throw InputError(std::string("train.precision: this model does not compute in ") +
                     c10::toString(compute) + "; use float32 or float64");
  }
}

}  // namespace thaw
