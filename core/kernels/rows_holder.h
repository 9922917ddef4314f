#pragma once

#include <ATen/core/ivalue.h>

#include <memory>
#include <utility>

#include "core/kernels/random/draw_scope.h"

namespace thaw {

/// Keeps a batch's rows in an autograd context, which stores IValues.
class RowsHolder : public torch::CustomClassHolder {
 public:
  explicit RowsHolder(std::shared_ptr<const SampleRows> value) : rows(std::move(value)) {}
  const std::shared_ptr<const SampleRows> rows;

  static at::IValue pack(std::shared_ptr<const SampleRows> rows) {
    return at::IValue::make_capsule(c10::make_intrusive<RowsHolder>(std::move(rows)));
  }
  static std::shared_ptr<const SampleRows> unpack(const at::IValue& value) {
    return c10::static_intrusive_pointer_cast<RowsHolder>(value.toCapsule())->rows;
  }
};

}  // namespace thaw
