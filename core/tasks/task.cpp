#include "core/tasks/task.h"

#include <ATen/core/Tensor.h>

#include "core/data/batch.h"
#include "core/models/family.h"

namespace thaw {

OutputRows Task::output_rows() const { return OutputRows::kSamples; }

double Task::weight(const Batch& batch) const { return static_cast<double>(batch.size()); }

void Task::measure(const at::Tensor& outputs, const Batch& batch, Measurement& sums) const {
  const at::Tensor each = losses(outputs, batch);
  const double* loss = each.const_data_ptr<double>();
  // One by one: the sum over a split does not depend on how it is cut into batches.
  for (std::int64_t i = 0; i < batch.size(); ++i) sums.loss += loss[i];
  sums.weight += weight(batch);
  sums.samples += batch.size();
  count(outputs, batch, sums);
}

std::vector<std::vector<double>> Task::confusion(const Measurement& /*sums*/) const { return {}; }

std::vector<Figure> Task::named_figures(const Measurement& sums) const {
  const std::vector<double> values = figures(sums);
  std::vector<Figure> named;
  for (std::size_t i = 0; i < values.size(); ++i) named.push_back({metrics()[i].name, values[i]});
  return named;
}

}  // namespace thaw
