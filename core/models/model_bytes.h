#pragma once

#include <cstdint>
#include <vector>

namespace at {
class Tensor;
}

namespace thaw {

class Model;

/// Of the elements of all together; tensors that share memory count one by one.
std::int64_t bytes_of_tensors(const std::vector<at::Tensor>& tensors);

/// Of weights and buffers, wherever they lie.
std::int64_t bytes_of_model(const Model& model);

}  // namespace thaw
