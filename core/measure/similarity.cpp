#include "core/measure/similarity.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "core/models/model.h"
#include "core/step/gradient_pass.h"

namespace thaw {
namespace {

/// X X' of the centred rows.
at::Tensor centred_kernel(const at::Tensor& rows) {
  const at::Tensor centred = rows - rows.mean(0, /*keepdim=*/true);
  return at::mm(centred, centred.t());
}

at::Tensor mean_over_tokens(const at::Tensor& output, const Batch& batch) {
  std::vector<at::Tensor> rows;
  const std::int64_t* offsets = batch.offsets.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    rows.push_back(output.narrow(0, offsets[i], offsets[i + 1] - offsets[i]).mean(0));
  }
  return at::stack(rows);
}

/// [n, width]
at::Tensor row_a_sample(const at::Tensor& output, const Batch& batch) {
  const at::Tensor values = output.detach().to(at::kCPU, at::kDouble);
  if (values.dim() > 2) return values.flatten(2).mean(2);
  const bool packed = batch.offsets.defined() && values.size(0) != batch.size();
  return packed ? mean_over_tokens(values, batch) : values;
}

}  // namespace

double linear_cka(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor of_a = centred_kernel(a);
  const at::Tensor of_b = centred_kernel(b);
  const double both = (of_a * of_b).sum().item().toDouble();
  return both / (of_a.norm() * of_b.norm()).item().toDouble();
}

std::vector<at::Tensor> group_representations(Model& model, const std::vector<Batch>& batches) {
  if (batches.empty()) return {};
  const c10::AutoGradMode no_grad(false);
  const std::size_t groups = model.groups().size();
  std::vector<std::vector<at::Tensor>> rows(groups);
  for (const Batch& batch : batches) {
    const Batch placed = to_model(batch, model);
    at::Tensor hidden;
    for (std::size_t group = 0; group < groups; ++group) {
      hidden = model.run(group, group + 1, hidden, placed);
      if (!hidden.defined()) return {};
      rows[group].push_back(row_a_sample(hidden, batch));
    }
  }
  std::vector<at::Tensor> representations;
  for (const std::vector<at::Tensor>& each : rows) representations.push_back(at::cat(each));
  return representations;
}

}  // namespace thaw
