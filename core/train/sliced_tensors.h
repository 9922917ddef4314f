#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>

namespace thaw {

class CheckpointReader;

/// The name in a checkpoint of elements [first, last) of `tensor`: see Note [Names in a
/// checkpoint].
std::string slice_name(std::int64_t first, std::int64_t last, const std::string& tensor);

/// The tensors of a checkpoint that are there in slices, however many.
class SlicedTensors {
 public:
  explicit SlicedTensors(const CheckpointReader& checkpoint);

  /// Whether a tensor is there in slices.
  bool contains(const std::string& tensor) const { return slices_.contains(tensor); }

  /// Throws an agreed InputError, naming the tensor and what is wrong, where it is there neither
  /// whole nor in slices that make up just so many elements of one type.
  void check(const std::string& tensor, std::int64_t elements) const;

  /// A collective: all of a tensor, in one dimension and host memory.
  at::Tensor load(const std::string& tensor) const;

 private:
  const CheckpointReader& checkpoint_;
  /// Of each tensor: where each slice begins, and its name.
  std::map<std::string, std::multimap<std::int64_t, std::string>> slices_;
};

}  // namespace thaw
