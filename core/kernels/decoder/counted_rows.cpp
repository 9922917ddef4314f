#include "core/kernels/decoder/counted_rows.h"

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <algorithm>

namespace thaw {

CountedRows counted_rows(const at::Tensor& tokens, const at::Tensor& prompt_lengths,
                         const SampleRows& rows, std::int64_t vocabulary) {
  const at::Tensor words = tokens.cpu().contiguous(), prompts = prompt_lengths.cpu().contiguous();
  const auto* word = words.const_data_ptr<std::int64_t>();
  const auto* prompt = prompts.const_data_ptr<std::int64_t>();
  CountedRows result;
  result.firsts = {0};
  for (std::size_t n = 0; n + 1 < rows.offsets.size(); ++n) {
    const std::int64_t begin = rows.offsets[n], end = rows.offsets[n + 1];
    TORCH_CHECK(prompt[n] >= 0 && prompt[n] <= end - begin, "next_token_loss: a prompt of ",
                prompt[n], " tokens in a sample of ", end - begin);
    for (std::int64_t t = begin + std::max<std::int64_t>(prompt[n], 1); t < end; ++t) {
      TORCH_CHECK(word[t] >= 0 && word[t] < vocabulary, "next_token_loss: token ", word[t],
                  " for a vocabulary of ", vocabulary);
      result.rows.push_back(t - 1);
      result.targets.push_back(word[t]);
    }
    result.firsts.push_back(result.size());
  }
  return result;
}

at::Tensor as_indices(const std::vector<std::int64_t>& values, const at::Device& device) {
  at::Tensor result = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::ranges::copy(values, result.mutable_data_ptr<std::int64_t>());
  return result.to(device);
}

}  // namespace thaw
