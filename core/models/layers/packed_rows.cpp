#include "core/models/layers/packed_rows.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/data/batch.h"
#include "core/kernels/random/draw_scope.h"
#include "core/kernels/rows/device_rows.h"

namespace thaw {

std::shared_ptr<const SampleRows> packed_rows(const Batch& batch, std::int64_t vocabulary,
                                              std::int64_t longest) {
  TORCH_CHECK(batch.offsets.defined() && batch.offsets.scalar_type() == at::kLong &&
                  batch.offsets.numel() == batch.size() + 1 && batch.offsets.is_cpu(),
              "a batch of text needs int64 offsets, one more than it has samples, on the host");
  const at::Tensor offsets = batch.offsets.contiguous();
  const auto* data = offsets.const_data_ptr<std::int64_t>();
  auto rows = std::make_shared<SampleRows>();
  rows->samples = batch.samples;
  rows->offsets.assign(data, data + offsets.numel());
  rows->device = batch.rows;
  TORCH_CHECK(data[0] == 0 && data[batch.size()] == batch.inputs.numel(),
              "offsets do not span the batch's ", batch.inputs.numel(), " tokens");
  for (std::int64_t n = 0; n < batch.size(); ++n) {
    const std::int64_t length = data[n + 1] - data[n];
    if (length < 1 || length > longest) {
      throw InputError(fmt::format("sample {} has {} tokens; the model takes 1 to {}",
                                   batch.samples[static_cast<std::size_t>(n)], length, longest));
    }
  }
  if (batch.inputs.is_cpu()) {
    const auto* tokens = batch.inputs.const_data_ptr<std::int64_t>();
    for (std::int64_t t = 0; t < batch.inputs.numel(); ++t) {
      if (tokens[t] < 0 || tokens[t] >= vocabulary) {
        throw InputError(
            fmt::format("token {} in the data; the model has 0 to {}", tokens[t], vocabulary - 1));
      }
    }
  }
  return rows;
}

std::shared_ptr<const SampleRows> equal_rows(const Batch& batch, std::int64_t tokens) {
  auto rows = std::make_shared<SampleRows>();
  rows->samples = batch.samples;
  for (std::int64_t i = 0; i <= batch.size(); ++i) rows->offsets.push_back(i * tokens);
  if (batch.rows == nullptr) return rows;
  // The batch knows images alone. Their tokens follow from numbers that the host has, so nothing is
  // uploaded for them; and a captured step computes them again, at addresses that are its own.
  const std::int64_t n = batch.size();
  const at::TensorOptions integers = batch.rows->samples.options().dtype(at::kInt);
  auto device = std::make_shared<DeviceRows>(*batch.rows);
  device->longest = n > 0 ? tokens : 0;
  device->offsets = at::arange(0, n * tokens + 1, std::max<std::int64_t>(tokens, 1), integers);
  device->owners = at::arange(n, integers).unsqueeze(1).expand({n, tokens}).reshape({n * tokens});
  device->places = at::arange(tokens, integers).expand({n, tokens}).reshape({n * tokens});
  rows->device = std::move(device);
  return rows;
}

}  // namespace thaw
