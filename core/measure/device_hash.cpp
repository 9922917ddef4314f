#include "core/measure/device_hash.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/clone.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

namespace thaw {
namespace {

// Note [Hashes on a GPU]
// To bring 270 MB of weights and optimizer state to the host takes hundreds of copies that each
// drain the GPU. So the hash is a sum there: the bits as integers, each times an odd number that
// belongs to its place, modulo 2^64, twice with other numbers. One flipped bit always shows, since
// an odd number times a power of two below 2^64 is not zero; several cancel each other with a
// chance of about 2^-128. The order of a sum of integers does not matter, so every rank gets the
// same, however its GPU adds. Tensors are cut into rows, and rows of many tensors taken together,
// since there are hundreds of small ones: a number belongs to a column, another to a row of its
// tensor.

constexpr std::int64_t kColumns = 1024;
constexpr std::int64_t kBatchRows = 16384;  ///< 64 MB of bits, 128 of products

/// Numbers that look random (SplitMix64 by Steele and others 2014), odd.
std::int64_t odd_number(std::uint64_t place) {
  std::uint64_t x = (place + 1) * 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return static_cast<std::int64_t>((x ^ (x >> 31)) | 1);
}

/// Columns' places come after those of rows, of which there are fewer than 2^40.
constexpr std::uint64_t kColumnPlaces = std::uint64_t{1} << 60;
constexpr std::uint64_t kSecond = std::uint64_t{1} << 50;  ///< of the second hash

/// The elements of `tensor` in their order, as integers: of 32 bits where it can be cut into such.
/// Which ones is by type and size alone: how and where it lies in memory may differ between ranks.
at::Tensor bits_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().contiguous().view({-1});
  const auto bytes = static_cast<std::int64_t>(flat.element_size());
  if (bytes * flat.numel() % 4 == 0) {
    const bool aligned = bytes * flat.storage_offset() % 4 == 0;
    return (aligned ? flat : flat.clone()).view(at::kInt);
  }
  return flat.view(bytes % 2 == 0 ? at::kShort : at::kByte);
}

}  // namespace

void DeviceHash::add_rows(std::size_t tensor, std::vector<std::int64_t>& owners,
                          std::vector<std::int64_t>& weights) {
  const std::int64_t length = bits_of(tensors_[tensor]).numel();
  for (std::int64_t first = 0; first < length;) {
    if (batches_.empty() || batches_.back().rows == kBatchRows) {
      batches_.emplace_back().first_row = static_cast<std::int64_t>(owners.size());
    }
    Batch& batch = batches_.back();
    const std::int64_t taken = std::min(length - first, (kBatchRows - batch.rows) * kColumns);
    const std::int64_t rows = (taken + kColumns - 1) / kColumns;
    batch.pieces.push_back({tensor, first, taken, batch.rows});
    for (std::int64_t row = 0; row < rows; ++row) {
      owners.push_back(static_cast<std::int64_t>(tensor));
      weights.push_back(first / kColumns + row);
    }
    batch.rows += rows;
    first += taken;
  }
}

DeviceHash::DeviceHash(std::vector<at::Tensor> tensors) : tensors_(std::move(tensors)) {
  if (tensors_.empty()) return;
  std::vector<std::int64_t> owners, places;
  for (std::size_t i = 0; i < tensors_.size(); ++i) add_rows(i, owners, places);
  const auto rows = static_cast<std::int64_t>(owners.size());
  std::vector<std::int64_t> row_weights, column_weights;
  for (const std::uint64_t hash : {std::uint64_t{0}, kSecond}) {
    for (const std::int64_t place : places) {
      row_weights.push_back(odd_number(hash + static_cast<std::uint64_t>(place)));
    }
    for (std::int64_t column = 0; column < kColumns; ++column) {
      column_weights.push_back(
          odd_number(kColumnPlaces + hash + static_cast<std::uint64_t>(column)));
    }
  }
  const at::Device device = tensors_.front().device();
  owners_ = at::tensor(owners, at::kLong).to(device);
  row_weights_ = at::tensor(row_weights, at::kLong).view({2, rows}).to(device);
  column_weights_ = at::tensor(column_weights, at::kLong).view({2, kColumns}).to(device);
}

std::vector<Fingerprint> DeviceHash::hashes() const {
  if (tensors_.empty()) return {};
  const c10::AutoGradMode no_grad(false);
  const auto count = static_cast<std::int64_t>(tensors_.size());
  at::Tensor sums = at::zeros({2, count}, owners_.options());
  for (const Batch& batch : batches_) {
    // Zeros, with which a tensor's last row is filled up, add nothing.
    const at::Tensor bits = at::zeros({batch.rows * kColumns}, owners_.options().dtype(at::kInt));
    std::vector<at::Tensor> to, from;
    for (const Piece& piece : batch.pieces) {
      to.push_back(bits.narrow(0, piece.row * kColumns, piece.length));
      from.push_back(bits_of(tensors_[piece.tensor]).narrow(0, piece.first, piece.length));
    }
    at::_foreach_copy_(to, from);
    const at::Tensor owners = owners_.narrow(0, batch.first_row, batch.rows);
    for (std::int64_t hash = 0; hash < 2; ++hash) {
      const at::Tensor of_rows =
          (bits.view({batch.rows, kColumns}) * column_weights_[hash])
              .sum(1)
              .mul_(row_weights_[hash].narrow(0, batch.first_row, batch.rows));
      sums[hash].index_add_(0, owners, of_rows);
    }
  }
  const at::Tensor host = sums.cpu();
  const auto* values = host.const_data_ptr<std::int64_t>();
  std::vector<Fingerprint> result;
  for (std::int64_t i = 0; i < count; ++i) {
    result.push_back(
        {static_cast<std::uint64_t>(values[i]), static_cast<std::uint64_t>(values[count + i])});
  }
  return result;
}

}  // namespace thaw
