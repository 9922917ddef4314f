#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>

namespace thaw {

class Model;
class PrefixSource;
struct Batch;

/// Told the number of one of a model's groups that is to run now.
using BeforeGroup = std::function<void(std::size_t group)>;

/// Runs a model whose first `cut` groups are frozen: those without recording anything for
/// backward, the rest as autograd says. Returns the logits, [n, classes].
///
/// The prefix runs under a no-grad guard, not in inference mode, whose tensors autograd could not
/// save for the active layers' backward. `source`: knows what its first groups return, and they
/// are not run; null: all are. `before`: called before each of the groups that are run, which are
/// then run one by one; the numbers are the same. Empty: nobody asks.
at::Tensor forward_past_prefix(Model& model, std::size_t cut, const Batch& batch,
                               const PrefixSource* source = nullptr,
                               const BeforeGroup& before = {});

}  // namespace thaw
