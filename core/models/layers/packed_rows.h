#pragma once

#include <cstdint>
#include <memory>

namespace thaw {

struct Batch;
struct SampleRows;

/// Whose the rows of a batch of packed text are, checked: each sample has 1 to `longest` tokens,
/// and, on the host, each token is below `vocabulary`. Throws InputError where that is not so, and
/// c10::Error for offsets that do not span the tokens.
std::shared_ptr<const SampleRows> packed_rows(const Batch& batch, std::int64_t vocabulary,
                                              std::int64_t longest);

/// The same of a batch of images, each of which is cut into as many tokens: `batch.samples` times
/// `tokens`. What kernels read of them on a GPU is computed there.
std::shared_ptr<const SampleRows> equal_rows(const Batch& batch, std::int64_t tokens);

}  // namespace thaw
