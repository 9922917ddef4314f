#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>

#include "core/kernels/activation_kind.h"
#include "core/kernels/decoder/attention_shape.h"
#include "core/kernels/random/draw_scope.h"

// The kernels of rows/, attention/ and decoder/ as functions of tensors: contiguous ones, all on
// one CUDA device, of float32, float64 or bfloat16, shapes checked by the caller. They are queued
// on the current stream, wait for nothing and copy nothing from the host but rows that no batch
// brought along (on_device).

namespace thaw::gpu {

#if defined(THAW_HAVE_CUDA)
inline constexpr bool kBuilt = true;
#else
/// Without it none of these functions exists: ask first, with `if constexpr`.
inline constexpr bool kBuilt = false;
#endif

/// `input` with elements dropped as Note [Keyed draws] says. `packed`: rows are tokens.
at::Tensor drop_rows(const at::Tensor& input, const DropoutDraws& draws, bool packed);

/// The same for attention's probabilities, [n, heads, L, L]: see keyed_attention_dropout.
at::Tensor drop_attention_rows(const at::Tensor& input, const DropoutDraws& draws);

/// Operands of add_norm; what is undefined is not there.
struct AddNormTensors {
  at::Tensor input, bias, residual, scale, shift;
  at::Tensor output;
  at::Tensor rounded;     ///< the output in the input's type
  at::Tensor normalized;  ///< (x - mean) / deviation; may be the input's memory
  at::Tensor rstd;        ///< [rows]
};
void add_norm(const AddNormTensors& tensors, double epsilon,
              const std::optional<DropoutDraws>& draws);

/// What its backward has, and what it wants: undefined results are not wanted.
struct AddNormGradients {
  at::Tensor gradient, rounded_gradient;  ///< the output's, and its rounded form's; one at least
  at::Tensor normalized, rstd, scale;
  at::Tensor input_gradient, residual_gradient;
  at::Tensor sums;  ///< [3, width]: of bias, scale and shift
};
void add_norm_backward(const AddNormGradients& tensors, at::ScalarType input_type,
                       const std::optional<DropoutDraws>& draws);

/// `output` may be the input.
void activate_rows(const at::Tensor& input, const at::Tensor& bias, const at::Tensor& output,
                   Activation activation);
/// `bias_gradient` may be undefined.
void activate_rows_backward(const at::Tensor& gradient, const at::Tensor& input,
                            const at::Tensor& bias, const at::Tensor& input_gradient,
                            const at::Tensor& bias_gradient, Activation activation);

/// The mean of each sample's rows, and its gradient.
at::Tensor segment_mean(const at::Tensor& input, const SampleRows& rows);
at::Tensor segment_mean_backward(const at::Tensor& gradient, const SampleRows& rows);

/// The sum of three tables' rows; `token_types` of no elements: all 0.
at::Tensor embed_rows(const at::Tensor& tokens, const at::Tensor& token_types,
                      const at::Tensor& words, const at::Tensor& positions, const at::Tensor& types,
                      const SampleRows& rows);
/// Gradients of the tables, dense, with the same bits each time (Note [Gradients of a table of
/// words]). The word `padding` gets none.
at::Tensor word_gradient(const at::Tensor& gradient, const at::Tensor& tokens,
                         const at::Tensor& words, const SampleRows& rows, std::int64_t padding);
at::Tensor position_gradient(const at::Tensor& gradient, const at::Tensor& positions,
                             const SampleRows& rows);
at::Tensor type_gradient(const at::Tensor& gradient, const at::Tensor& token_types,
                         const at::Tensor& types);

/// Operands of packed_attention; biases are float32, or undefined.
struct AttentionTensors {
  at::Tensor projected;  ///< bfloat16 [T, 3 * heads * d]
  std::array<at::Tensor, 3> biases;
  at::Tensor output;    ///< [T, heads * d]
  at::Tensor log_sums;  ///< float32 [heads, T]; undefined: forward shall not keep them
  double scale = 0;     ///< of queries times keys; 0: 1 / sqrt(d)
  bool causal = false;  ///< a token attends to itself and what stands before it
};
/// Whether the kernels serve such tensors, as a head's size is 32, 64 or 128 (Note [Attention on
/// tensor cores]).
bool attends(const at::Tensor& projected, std::int64_t heads);
void attend(const AttentionTensors& tensors, std::int64_t heads, const SampleRows& rows,
            const std::optional<DropoutDraws>& draws);
/// The gradient of `projected`; `gradient` is that of the output.
at::Tensor attend_backward(const AttentionTensors& tensors, const at::Tensor& gradient,
                           std::int64_t heads, const SampleRows& rows,
                           const std::optional<DropoutDraws>& draws);

/// Rows of gates and ups, [rows, 2 * width], to activation(gate) * up: see gated_activation.
void gate_rows(const at::Tensor& input, const at::Tensor& output, Activation activation);
void gate_rows_backward(const at::Tensor& gradient, const at::Tensor& input,
                        const at::Tensor& input_gradient, Activation activation);

/// Operands of add_rms_norm; what is undefined is not there. `input` is of the type of `normed`;
/// one in that of the computation stands as the residual.
struct RmsNormTensors {
  at::Tensor input, residual, weight;
  at::Tensor sum, normed;
  at::Tensor rstd;  ///< [rows]
};
void rms_norm(const RmsNormTensors& tensors, double epsilon);

/// What its backward has, and what it wants: undefined results are not wanted. `input_gradient` is
/// of the type of `gradient`.
struct RmsNormGradients {
  at::Tensor gradient, sum_gradient;  ///< of the norm, and of the sum, which may be undefined
  at::Tensor sum, rstd, weight;
  at::Tensor input_gradient, residual_gradient, weight_gradient;
};
void rms_norm_backward(const RmsNormGradients& tensors);

/// Operands of rotate_heads without norms; the table in the type of the computation.
struct RotateTensors {
  at::Tensor input, output;  ///< may be the same memory
  at::Tensor cosines, sines;
};
/// `back`: by the opposite angles, as a gradient is.
void rotate_rows(const RotateTensors& tensors, const AttentionShape& shape, bool back,
                 const SampleRows& rows);

/// Bytes [n, C, H, W], channels-last in memory, as float32 likewise. `numbers`: 255, the means, the
/// deviations, float32 [1 + 2 C].
at::Tensor image_pixels(const at::Tensor& bytes, const at::Tensor& numbers);

}  // namespace thaw::gpu
