#include "core/kernels/segment_mean.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>
#include <vector>

#include "core/kernels/column_sums.h"
#include "core/kernels/context_values.h"
#include "core/kernels/element_types.h"
#include "core/kernels/fused.h"
#include "core/kernels/gpu/operators.h"
#include "core/kernels/rows/device_rows.h"

namespace thaw {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using RowsPointer = std::shared_ptr<const SampleRows>;

at::Tensor plain(const at::Tensor& input, const SampleRows& rows) {
  const DeviceRows& on_gpu = on_device(rows, input.device());
  const at::Tensor counts = on_gpu.offsets.diff();
  return at::zeros({rows.size(), input.size(1)}, input.options())
             .index_add(0, on_gpu.owners, input) /
         counts.clamp_min(1).unsqueeze(1).to(input.options());
}

/// Calls `body(segment, first row, rows)` on all threads.
template <typename Body>
void for_segments(const SampleRows& rows, std::int64_t width, const Body& body) {
  at::parallel_for(0, rows.size(), row_grain(width * 8), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const std::int64_t first = rows.offsets[static_cast<std::size_t>(n)];
      body(n, first, rows.offsets[static_cast<std::size_t>(n) + 1] - first);
    }
  });
}

at::Tensor run_forward(const at::Tensor& input, const SampleRows& rows) {
  if constexpr (gpu::kBuilt) {
    if (input.is_cuda()) return gpu::segment_mean(input, rows);
  }
  const std::int64_t width = input.size(1);
  at::Tensor output = at::zeros({rows.size(), width}, input.options());
  with_element_types(input.scalar_type(), [&]<typename E, typename T>() {
    using Element = TorchElement<E>;
    const auto* in = input.const_data_ptr<Element>();
    auto* out = output.mutable_data_ptr<Element>();
    for_segments(rows, width, [&](std::int64_t n, std::int64_t first, std::int64_t count) {
      std::vector<T> sums(static_cast<std::size_t>(width), T(0));
      for (std::int64_t row = first; row < first + count; ++row) {
        for (std::int64_t i = 0; i < width; ++i) {
          sums[static_cast<std::size_t>(i)] += static_cast<T>(in[row * width + i]);
        }
      }
      for (std::int64_t i = 0; count > 0 && i < width; ++i) {
        out[n * width + i] =
            static_cast<Element>(sums[static_cast<std::size_t>(i)] / static_cast<T>(count));
      }
    });
  });
  return output;
}

at::Tensor run_backward(const at::Tensor& gradient, const SampleRows& rows) {
  if constexpr (gpu::kBuilt) {
    if (gradient.is_cuda()) return gpu::segment_mean_backward(gradient, rows);
  }
  const std::int64_t width = gradient.size(1);
  at::Tensor result = at::empty({rows.offsets.back(), width}, gradient.options());
  with_element_types(gradient.scalar_type(), [&]<typename E, typename T>() {
    using Element = TorchElement<E>;
    const auto* dy = gradient.const_data_ptr<Element>();
    auto* dx = result.mutable_data_ptr<Element>();
    for_segments(rows, width, [&](std::int64_t n, std::int64_t first, std::int64_t count) {
      for (std::int64_t row = first; row < first + count; ++row) {
        for (std::int64_t i = 0; i < width; ++i) {
          dx[row * width + i] =
              static_cast<Element>(static_cast<T>(dy[n * width + i]) / static_cast<T>(count));
        }
      }
    });
  });
  return result;
}

struct SegmentMean : torch::autograd::Function<SegmentMean> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const RowsPointer& rows) {
    context->saved_data["rows"] = RowsHolder::pack(rows);
    return run_forward(input, *rows);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return {
        run_backward(gradients[0].contiguous(), *RowsHolder::unpack(context->saved_data["rows"])),
        at::Tensor()};
  }
};

}  // namespace

at::Tensor segment_mean(const at::Tensor& input, RowsPointer rows) {
  TORCH_CHECK(input.dim() == 2 && !rows->offsets.empty() && rows->offsets.back() == input.size(0),
              "segment_mean: input must be [tokens, width], not ", input.sizes());
  if (!use_fused(input)) {
    return plain(input, *rows);
  }
  return SegmentMean::apply(input.contiguous(), rows);
}

}  // namespace thaw
