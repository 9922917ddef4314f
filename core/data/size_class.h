#pragma once

#include <cstdint>
#include <span>

namespace thaw {

struct Batch;

// Note [Size classes]
// What a GPU is asked for once can be asked for again where sizes are the same (Note [Captured
// steps]), and texts of many lengths hardly make the same number of tokens twice. So their batches
// are filled up to classes of sizes: fillers stand behind the last sample, samples that are
// nobody's, and make the tokens a multiple of a step that is a sixteenth of them at most, so that a
// batch grows by some 6 % and a token a filler. They are samples like others, of as many tokens as
// others may have, so that all that is computed of them is finite; what the model returns for them
// is cut off before the loss, so that their gradients are zeros and count nowhere. How many there
// are is of the class, as is the length of the longest sample, rounded up, which kernels are
// launched for. Where samples begin is read on the GPU. The shares of all ranks are of one class,
// that of the largest, for which the others would wait anyway: so ranks come to the same graphs in
// the same steps (Note [Ways of a step]). Products over more rows may add up in
// another order. So all steps of a stage that may have graphs are filled up, those that are queued
// call by call too, and no others: bits depend on the option, and not on which step was a graph.
// Operations are counted as they are done, with the fillers.

/// What batches of one class have in common besides the number of their samples.
struct SizeClass {
  std::int64_t tokens = 0;   ///< with those of the fillers
  std::int64_t longest = 0;  ///< tokens that a sample may have
  std::int64_t fillers = 0;  ///< samples at the end

  friend bool operator==(const SizeClass&, const SizeClass&) = default;
};

/// What one rank has of a global batch.
struct TextShare {
  std::int64_t tokens = 0;   ///< 0: no sample
  std::int64_t longest = 0;  ///< tokens of a sample
};

/// The class of a global batch of these shares, one a rank, of which one has samples. `most`:
/// tokens that any sample of the data has, at least 2. Pure.
SizeClass size_class(std::span<const TextShare> shares, std::int64_t most);

/// `batch`, text on the host with samples, a share of what `target` is the class of, with the
/// fillers of the class, of which its labels know nothing.
Batch filled_up(const Batch& batch, const SizeClass& target);

}  // namespace thaw
