#pragma once

#include <cstdint>

namespace thaw {

class Model;

/// Of weights and buffers, wherever they lie.
std::int64_t bytes_of_model(const Model& model);

}  // namespace thaw
