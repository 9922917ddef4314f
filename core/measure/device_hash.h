#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/hash.h"

namespace thaw {

/// Hashes of tensors where they lie: only the hashes come to the host, all in one copy. By
/// LibTorch's integer operators, so that it is the same on a GPU and on the host. Not XXH3's
/// values: compare them with each other alone. See Note [Hashes on a GPU] in device_hash.cpp.
class DeviceHash {
 public:
  /// Of these, again and again: they are on one device and keep their memory and shapes.
  explicit DeviceHash(std::vector<at::Tensor> tensors);

  /// In the order of the tensors. Blocks the host once.
  std::vector<Fingerprint> hashes() const;

 private:
  /// Rows of one tensor that are hashed together with those of others.
  struct Piece {
    std::size_t tensor;
    std::int64_t first;   ///< element of its bits
    std::int64_t length;  ///< elements
    std::int64_t row;     ///< of the batch
  };
  struct Batch {
    std::vector<Piece> pieces;
    std::int64_t rows = 0;
    std::int64_t first_row = 0;  ///< of all batches
  };
  void add_rows(std::size_t tensor, std::vector<std::int64_t>& owners,
                std::vector<std::int64_t>& weights);

  std::vector<at::Tensor> tensors_;
  std::vector<Batch> batches_;
  at::Tensor owners_;          ///< int64 [rows], the tensor of each row
  at::Tensor row_weights_;     ///< int64 [2, rows]
  at::Tensor column_weights_;  ///< int64 [2, columns]
};

}  // namespace thaw
