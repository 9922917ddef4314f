#pragma once

#include <ATen/core/ivalue.h>

#include <memory>
#include <optional>
#include <utility>

#include "core/kernels/random/draw_scope.h"

namespace thaw {

/// Keeps draws in an autograd context, which stores IValues.
class DrawsHolder : public torch::CustomClassHolder {
 public:
  explicit DrawsHolder(DropoutDraws value) : draws(std::move(value)) {}
  const DropoutDraws draws;

  static at::IValue pack(const std::optional<DropoutDraws>& draws) {
    return draws ? at::IValue::make_capsule(c10::make_intrusive<DrawsHolder>(*draws))
                 : at::IValue();
  }
  static std::optional<DropoutDraws> unpack(const at::IValue& value) {
    if (value.isNone()) {
      return std::nullopt;
    }
    return c10::static_intrusive_pointer_cast<DrawsHolder>(value.toCapsule())->draws;
  }
};

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
