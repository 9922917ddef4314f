#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/kernels/fused.h"
#include "core/kernels/random/draw_scope.h"
#include "tests/core/kernels/relative_difference.h"

namespace thaw {

/// Samples of these lengths, packed; each has a number of its own in the dataset.
inline std::shared_ptr<const SampleRows> packed_samples(const std::vector<std::int64_t>& lengths,
                                                        std::int64_t first_sample = 3) {
  auto rows = std::make_shared<SampleRows>();
  rows->offsets = {0};
  for (const std::int64_t length : lengths) {
    rows->samples.push_back(static_cast<std::int64_t>(rows->samples.size()) * 7 + first_sample);
    rows->offsets.push_back(rows->offsets.back() + length);
  }
  return rows;
}

using Tensors = std::vector<at::Tensor>;
/// Results (one or more) of some inputs.
using TensorFunction = std::function<Tensors(const Tensors&)>;

/// The results of `function` on copies of `inputs`, then the gradients of those that `trainable`
/// marks (undefined for the others), for these gradients of the results (an undefined one: nobody
/// uses it).
inline Tensors results_and_gradients(const TensorFunction& function, const Tensors& inputs,
                                     const std::vector<bool>& trainable, const Tensors& gradients,
                                     bool fused) {
  set_fused_kernels(fused);
  Tensors leaves, arguments;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    leaves.push_back(inputs[i].detach().clone().requires_grad_(trainable[i]));
    // Kernels may take an argument's memory over, which a leaf cannot give.
    arguments.push_back(trainable[i] ? leaves[i] * 1 : leaves[i].clone());
  }
  const Tensors results = function(arguments);
  Tensors all;
  at::Tensor total;
  for (std::size_t i = 0; i < results.size(); ++i) {
    all.push_back(results[i].detach());
    if (results[i].requires_grad() && gradients[i].defined()) {
      const at::Tensor part = (results[i] * gradients[i].to(results[i].scalar_type())).sum();
      total = total.defined() ? total + part.to(total.scalar_type()) : part;
    }
  }
  if (total.defined()) total.backward();
  for (const at::Tensor& leaf : leaves) all.push_back(leaf.grad());
  set_fused_kernels(true);
  return all;
}

/// Every choice of the inputs that may need a gradient.
inline std::vector<std::vector<bool>> choices_of(const std::vector<bool>& differentiable) {
  std::vector<std::vector<bool>> result = {{}};
  for (const bool may : differentiable) {
    std::vector<std::vector<bool>> longer;
    for (const std::vector<bool>& choice : result) {
      for (const bool is : {false, true}) {
        if (is && !may) continue;
        longer.push_back(choice);
        longer.back().push_back(is);
      }
    }
    result = std::move(longer);
  }
  return result;
}

/// What two runs found, tensor by tensor; `what` names the case.
inline void expect_close(const Tensors& found, const Tensors& expected, double tolerance,
                         const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].defined(), expected[i].defined()) << what << ", tensor " << i;
    if (!found[i].defined()) continue;
    EXPECT_EQ(found[i].sizes(), expected[i].sizes()) << what << ", tensor " << i;
    EXPECT_LE(relative_difference(found[i], expected[i]), tolerance) << what << ", tensor " << i;
  }
}

/// Inputs as a run in `type` has them: those of `wide` stay in float32 in bfloat16.
inline Tensors inputs_in(const Tensors& inputs, at::ScalarType type,
                         const std::vector<bool>& wide) {
  Tensors result;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    result.push_back(inputs[i].to(type == at::kBFloat16 && wide[i] ? at::kFloat : type));
  }
  return result;
}

/// Holds `function`, fused in each type and by plain operators, against `reference` in float64, for
/// every choice of inputs that need a gradient.
inline void check_against(const TensorFunction& function, const TensorFunction& reference,
                          const Tensors& inputs, const std::vector<bool>& differentiable,
                          const std::vector<bool>& wide, const Tensors& gradients,
                          const std::string& what, double bfloat16_tolerance = 3e-2) {
  for (const std::vector<bool>& trainable : choices_of(differentiable)) {
    std::string which = what + ", gradients of";
    for (const bool each : trainable) which += each ? " 1" : " 0";
    const Tensors exact = results_and_gradients(reference, inputs, trainable, gradients, false);
    expect_close(results_and_gradients(function, inputs, trainable, gradients, false), exact, 1e-10,
                 which + ", plain");
    expect_close(results_and_gradients(function, inputs, trainable, gradients, true), exact, 1e-10,
                 which + ", fused in float64");
    for (const auto& [type, tolerance] :
         {std::pair{at::kFloat, 1e-5}, {at::kBFloat16, bfloat16_tolerance}}) {
      expect_close(results_and_gradients(function, inputs_in(inputs, type, wide), trainable,
                                         gradients, true),
                   exact, tolerance, which + ", fused in " + toString(type));
    }
  }
}

}  // namespace thaw
