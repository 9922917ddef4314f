#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/kernels/decoder/attention_shape.h"
#include "core/kernels/random/draw_scope.h"

namespace thaw::gpu {

// Note [Flash attention]
// LibTorch brings flash attention (Dao 2023) for samples of any lengths one after another. It pads
// nothing and keeps no scores, in either direction. What it does not know are keyed draws: its
// dropout is a function of LibTorch's generator and of where a query lies in the micro-batch. So it
// serves where nothing is dropped, and where `train.attention-dropout-draws` is "fast". Then the
// generator is set for the call by the draws' key and the micro-batch's first sample, and set back:
// the same run on as many ranks draws the same, another number of ranks other masks, of the same
// distribution but for its probability, of which flash attention keeps eight bits. Its backward
// adds to the queries' gradients in no fixed order, unless LibTorch's deterministic algorithms are
// on (train.deterministic).

/// How its tokens see each other.
struct FlashKind {
  AttentionShape shape;
  bool causal = false;  ///< nothing behind a token is seen; else `shape.ahead` counts
  double flops = 0;     ///< of a forward; backward's are twice as many
};

/// Whether flash attention serves heads of `size` on a GPU of this compute capability, in backward
/// too. For that of heads above 192 a block of GPUs of 8.6 to 8.9 and 12.x has too little shared
/// memory; LibTorch leaves it out there when it chooses among attentions itself.
constexpr bool has_flash_for(int major, int minor, std::int64_t size) {
  constexpr std::int64_t kLargest = 256, kLargestOfLittleMemory = 192, kStep = 8;
  const bool little_memory = (major == 8 && minor >= 6) || major == 12;
  return major >= 8 && size % kStep == 0 &&
         size <= (little_memory ? kLargestOfLittleMemory : kLargest);
}

/// Why flash attention does not serve `projected`, in words; "" where it does.
std::string why_no_flash(const at::Tensor& projected, const FlashKind& kind,
                         const std::optional<DropoutDraws>& draws);

/// Attention over packed samples: `projected` [T, shape.columns()], bfloat16 on a GPU, as
/// causal_attention and packed_attention take it. `bias` [shape.columns()], float32, is added
/// first; it may be undefined. Returns [T, heads * size]. Only where `why_no_flash` is "".
at::Tensor flash_attention(const at::Tensor& projected, const at::Tensor& bias,
                           const FlashKind& kind, std::shared_ptr<const SampleRows> rows,
                           const std::optional<DropoutDraws>& draws);

/// Why `device`, or this LibTorch, has none for heads of `size`; "" where they do.
std::string why_no_flash_on(const at::Device& device, std::int64_t size);

}  // namespace thaw::gpu
