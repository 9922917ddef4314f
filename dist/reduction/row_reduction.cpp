#include "dist/reduction/row_reduction.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

namespace thaw {

namespace {

// Below this the dense sum takes less time than a second collective.
constexpr std::int64_t kWorthwhileBytes = 4 << 20;
constexpr std::int64_t kWorthwhileRows = 1024;

std::size_t row_bytes(const at::Tensor& matrix) {
  return matrix.nbytes() / static_cast<std::size_t>(matrix.size(0));
}

/// Stops at the first byte that is not zero, which for a row that was touched is soon.
bool is_zero(const std::byte* row, std::size_t bytes) {
  constexpr std::size_t kStep = 64;
  std::size_t i = 0;
  for (; i + kStep <= bytes; i += kStep) {
    std::uint64_t words[kStep / sizeof(std::uint64_t)];
    std::memcpy(words, row + i, kStep);
    std::uint64_t any = 0;
    for (const std::uint64_t word : words) any |= word;
    if (any != 0) return false;
  }
  return std::all_of(row + i, row + bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

/// Calls `visit` with the number of each row that is not all zero, in order.
template <typename Visit>
void for_touched_rows(const at::Tensor& gradient, const Visit& visit) {
  const auto* row = static_cast<const std::byte*>(gradient.const_data_ptr());
  const std::size_t bytes = row_bytes(gradient);
  for (std::int64_t i = 0; i < gradient.size(0); ++i, row += bytes) {
    if (!is_zero(row, bytes)) visit(i);
  }
}

}  // namespace

bool may_travel_by_rows(const at::Tensor& parameter) {
  const at::ScalarType type = parameter.scalar_type();
  return (type == at::kFloat || type == at::kDouble || type == at::kBFloat16) &&
         parameter.dim() == 2 && parameter.is_cpu() && parameter.is_contiguous() &&
         parameter.size(0) >= kWorthwhileRows &&
         static_cast<std::int64_t>(parameter.nbytes()) >= kWorthwhileBytes;
}

std::int64_t touched_rows(const at::Tensor& gradient) {
  std::int64_t touched = 0;
  for_touched_rows(gradient, [&](std::int64_t) { ++touched; });
  return touched;
}

// Sums of marks are only asked whether they are 0, which bfloat16 keeps at any number of ranks.
RowReduction::RowReduction(const at::Tensor& parameter, Cuts cuts)
    : cuts_(std::move(cuts)), marks_(at::empty({parameter.size(0)}, at::kBFloat16)) {}

std::int64_t RowReduction::sum(at::Tensor& gradient, Communicator& communicator) {
  const c10::AutoGradMode no_grad(false);
  marks_.zero_();
  auto* mark = marks_.mutable_data_ptr<c10::BFloat16>();
  for_touched_rows(gradient, [&](std::int64_t row) { mark[row] = 1.0F; });
  communicator.all_reduce(marks_);

  const std::vector<std::int64_t> touched = marked_rows();
  const auto count = static_cast<std::int64_t>(touched.size());
  const auto marks_bytes = static_cast<std::int64_t>(marks_.nbytes());
  if (2 * count > gradient.size(0)) {
    sum_whole(gradient, communicator);
    return marks_bytes + static_cast<std::int64_t>(gradient.nbytes());
  }
  if (count == 0) return marks_bytes;

  if (!rows_.defined() || rows_.size(0) < count) {
    rows_ = at::empty({count, gradient.size(1)}, gradient.options());
  }
  at::Tensor travelling = rows_.narrow(0, 0, count);
  const std::size_t bytes = row_bytes(gradient);
  auto* packed = static_cast<std::byte*>(travelling.mutable_data_ptr());
  auto* dense = static_cast<std::byte*>(gradient.mutable_data_ptr());
  for (std::size_t i = 0; i < touched.size(); ++i) {
    std::memcpy(packed + i * bytes, dense + static_cast<std::size_t>(touched[i]) * bytes, bytes);
  }
  sum_rows(travelling, touched, communicator);
  for (std::size_t i = 0; i < touched.size(); ++i) {
    std::memcpy(dense + static_cast<std::size_t>(touched[i]) * bytes, packed + i * bytes, bytes);
  }
  return marks_bytes + static_cast<std::int64_t>(travelling.nbytes());
}

void RowReduction::sum_whole(at::Tensor& gradient, Communicator& communicator) const {
  if (cuts_.empty()) {
    communicator.all_reduce(gradient);
  } else {
    communicator.reduce_scatter(gradient, cuts_);
  }
}

// Rows are packed in their order, so each rank's are neighbours. What it unpacks of the others' is
// of no use, and nobody looks there.
void RowReduction::sum_rows(at::Tensor& packed, const std::vector<std::int64_t>& touched,
                            Communicator& communicator) const {
  if (cuts_.empty()) {
    communicator.all_reduce(packed);
    return;
  }
  const std::int64_t width = packed.size(1);
  Cuts cuts;
  for (const std::int64_t cut : cuts_) {
    const auto row = std::lower_bound(touched.begin(), touched.end(), cut / width);
    cuts.push_back((row - touched.begin()) * width);
  }
  communicator.reduce_scatter(packed, cuts);
}

std::vector<std::int64_t> RowReduction::marked_rows() const {
  std::vector<std::int64_t> rows;
  const auto* mark = marks_.const_data_ptr<c10::BFloat16>();
  for (std::int64_t i = 0; i < marks_.numel(); ++i) {
    if (static_cast<float>(mark[i]) != 0.0F) rows.push_back(i);
  }
  return rows;
}

}  // namespace thaw
