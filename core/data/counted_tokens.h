#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

namespace thaw {

struct Batch;
class Split;

// Note [Counted tokens]
// The loss of a language model, and of a token's class, is a mean over tokens, of which not all
// count. Of a sample with L tokens, of which p are its prompt (running text: 0), tokens max(p, 1)
// to L - 1 count: token j is predicted from what comes before it in its own sample, so the first
// never is. Of token classes those that are not kNotCounted. A sample may have none, as one of a
// single token has; it is a sample still, adds nothing to the loss and nothing to what its mean is
// divided by. A split must have one.
//
// Which tokens count follows from lengths and labels alone, never from a token's number: padding
// and the end of a text share one in some vocabularies.

/// Of a sample of `length` tokens, `prompt` of them its prompt: how many count.
inline std::int64_t counted_next_tokens(std::int64_t length, std::int64_t prompt) {
  return std::max<std::int64_t>(0, length - std::max<std::int64_t>(prompt, 1));
}

/// The tokens of `batch`, which lies on the host, that count; its labels are prompts' lengths or
/// tokens' classes.
std::int64_t counted_tokens(const Batch& batch);

/// Counted tokens of a split.
struct CountedTokens {
  std::int64_t tokens = 0;
  std::int64_t samples_without = 0;  ///< any
};

/// Of a split whose labels are prompts' lengths or tokens' classes; of another nothing.
CountedTokens counted_tokens(const Split& split);

/// "4120 tokens count; 3 samples have none that does", for people; "" for a split of which nothing
/// is counted.
std::string describe_counted(const Split& split);

/// Throws InputError, which begins with `where`, for a split of which tokens count and none does,
/// or whose text for them is of 0 bytes: nothing could be learnt from it, nor measured.
void require_counted_tokens(const Split& split, const std::string& where);

}  // namespace thaw
