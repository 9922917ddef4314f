#include "core/kernels/decoder/next_token_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "core/kernels/decoder/logit_chunk.h"
#include "core/kernels/element_types.h"
#include "core/kernels/fused.h"
#include "core/kernels/rows/balanced_heads.h"
#include "core/kernels/rows/device_rows.h"

namespace thaw {
namespace {

// Note [Loss by chunks]
// A vocabulary is wide: logits of 16 samples of 96 tokens, 49,152 each, take 300 MB in float32, and
// plain operators hold them three times. So rows that count, and no others, are worked on by
// chunks: a chunk's logits are computed, summed up to losses and, where somebody needs gradients,
// turned at once into those of the logits, and these into those of hidden states and weight; then
// they are gone.
//
// That is in forward, before backward says what the loss's gradient is. But the loss of a row
// enters its sample's sum alone, so the gradient of its hidden state is a factor times what forward
// computed. The weight's gradient is such a sum over all rows: a factor times what forward computed
// where all samples have one factor, as in any mean; else backward computes it again, from the
// rows' sums of exponentials. Three products in all, or four then.
//
// Logits lie transposed, [words, rows], and in blocks of the vocabulary: so the weight is the left
// side of the product, as it lies in memory, the fast product needs no transposed copy of it (Note
// [Matrix products]), a lane of the kernels is a row, and what one product writes is in the cache
// when the next reads it.

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using RowsPointer = std::shared_ptr<const SampleRows>;

/// Rows of a chunk at most. Each chunk goes over the whole weight once a product, and over its
/// gradient once more to add to it, which is worth more rows.
std::int64_t chunk_rows(bool of_weight) { return of_weight ? 512 : 256; }

/// Calls `body(first, rows)` for chunks of about the same size.
template <typename Body>
void for_chunks(std::int64_t rows, bool of_weight, const Body& body) {
  const std::int64_t most = chunk_rows(of_weight), chunks = (rows + most - 1) / most;
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    const std::int64_t first = rows * chunk / chunks;
    body(first, rows * (chunk + 1) / chunks - first);
  }
}

/// All that a forward finds; rows are those that count.
struct Found {
  RowLosses rows;
  at::Tensor of_inputs;  ///< [C, width], the gradient of each row's own loss; undefined: not wanted
  at::Tensor of_weight;  ///< [V, width], that of the sum of all; undefined: not wanted
};

/// Which rows count, where the loss is computed: CountedRows as tensors.
struct Counted {
  at::Tensor rows, targets, owners, slots;  ///< int64 [C]
  std::int64_t samples = 0, longest = 0;
};

std::span<const std::int64_t> numbers(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(tensor.numel())};
}

at::Tensor on(const at::Device& device, const std::vector<std::int64_t>& values) {
  at::Tensor result = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::ranges::copy(values, result.mutable_data_ptr<std::int64_t>());
  return result.to(device);
}

/// What came with the batch; else the host finds it out, for which a GPU is waited for.
Counted find_counted(const at::Tensor& tokens, const at::Tensor& prompt_lengths,
                     const SampleRows& rows, std::int64_t vocabulary) {
  const at::Device device = tokens.device();
  Counted result;
  result.samples = rows.size();
  result.longest = longest_sample(rows);
  const DeviceRows* const came = rows.device.get();
  if (came != nullptr && came->counted_rows.defined() && came->counted_rows.device() == device) {
    result.rows = came->counted_rows;
    result.targets = came->counted_targets;
    result.owners = came->counted_owners;
    result.slots = came->counted_slots;
    return result;
  }
  const at::Tensor words = tokens.cpu().contiguous(), prompts = prompt_lengths.cpu().contiguous();
  for (std::int64_t n = 0; n < prompts.numel(); ++n) {
    const auto at = static_cast<std::size_t>(n);
    const std::int64_t length = rows.offsets[at + 1] - rows.offsets[at];
    const std::int64_t prompt = numbers(prompts)[at];
    TORCH_CHECK(prompt >= 0 && prompt <= length, "next_token_loss: a prompt of ", prompt,
                " tokens in a sample of ", length);
  }
  const CountedRows found = counted_rows(numbers(words), numbers(prompts), rows.offsets);
  for (const std::int64_t word : found.targets) {
    TORCH_CHECK(word >= 0 && word < vocabulary, "next_token_loss: token ", word,
                " for a vocabulary of ", vocabulary);
  }
  result.rows = on(device, found.rows);
  result.targets = on(device, found.targets);
  result.owners = on(device, found.owners);
  result.slots = on(device, found.slots);
  return result;
}

/// `inputs` [C, width] and `weight` in the type of the product; `targets` [C].
Found find(const at::Tensor& inputs, const at::Tensor& weight, const at::Tensor& targets,
           bool of_inputs, bool of_weight) {
  const std::int64_t count = inputs.size(0);
  const auto options = inputs.options().dtype(compute_type(inputs.scalar_type()));
  Found found{.rows = {.losses = at::empty({count}, options),
                       .log_sums = at::empty({count}, options),
                       .right = at::empty({count}, options)},
              .of_inputs = of_inputs ? at::empty(inputs.sizes(), options) : at::Tensor(),
              .of_weight = {}};
  if (of_weight) {
    found.of_weight =
        count > 0 ? at::empty(weight.sizes(), options) : at::zeros(weight.sizes(), options);
  }
  for_chunks(count, of_weight, [&](std::int64_t first, std::int64_t rows) {
    LogitChunk chunk(inputs.narrow(0, first, rows), weight, targets.narrow(0, first, rows));
    const RowLosses losses = chunk.losses(/*keep=*/of_inputs || of_weight);
    found.rows.losses.narrow(0, first, rows).copy_(losses.losses);
    found.rows.log_sums.narrow(0, first, rows).copy_(losses.log_sums);
    found.rows.right.narrow(0, first, rows).copy_(losses.right);
    if (of_inputs || of_weight) {
      chunk.gradients(losses, at::ones({rows}, options),
                      {.inputs = of_inputs ? found.of_inputs.narrow(0, first, rows) : at::Tensor(),
                       .weight = found.of_weight,
                       .add = first > 0});
    }
  });
  return found;
}

/// The gradient of the weight where the rows' losses have factors of their own.
at::Tensor weight_gradient(const at::Tensor& inputs, const at::Tensor& weight,
                           const at::Tensor& targets, const RowLosses& rows,
                           const at::Tensor& factors) {
  at::Tensor result = at::zeros(weight.sizes(), factors.options());
  for_chunks(inputs.size(0), /*of_weight=*/true, [&](std::int64_t first, std::int64_t count) {
    const auto part = [&](const at::Tensor& of_rows) { return of_rows.narrow(0, first, count); };
    LogitChunk chunk(part(inputs), weight, part(targets));
    chunk.gradients({.losses = part(rows.losses), .log_sums = part(rows.log_sums), .right = {}},
                    part(factors), {.inputs = {}, .weight = result, .add = true});
  });
  return result;
}

/// Sums over each sample, in the order of its tokens: [n, 2].
at::Tensor by_sample(const RowLosses& rows, const Counted& counted) {
  if (!rows.losses.is_cpu()) {
    // Padded, so that each sum has an order that is always the same, and no host waits for it.
    const at::Tensor both = at::stack({rows.losses, rows.right}, 1).to(at::kDouble);
    return at::zeros({counted.samples * counted.longest, 2}, both.options())
        .index_copy_(0, counted.slots, both)
        .view({counted.samples, counted.longest, 2})
        .sum(1)
        .to(rows.losses.scalar_type());
  }
  const at::Tensor losses = rows.losses.to(at::kDouble), right = rows.right.to(at::kDouble);
  const double* loss = losses.const_data_ptr<double>();
  const double* is_right = right.const_data_ptr<double>();
  const at::Tensor sums = at::zeros({counted.samples, 2}, at::kDouble);
  auto* sum = sums.mutable_data_ptr<double>();
  const std::span<const std::int64_t> owners = numbers(counted.owners);
  for (std::size_t row = 0; row < owners.size(); ++row) {
    sum[2 * owners[row]] += loss[row];
    sum[2 * owners[row] + 1] += is_right[row];
  }
  return sums.to(rows.losses.options());
}

// Note [One factor]
// Whether all samples' losses have one factor stands in the gradient, which lies on the device: to
// read it there, the host would wait for all that was queued, and no step could be a graph (Note
// [Captured steps]). But a loss that sums its rows up, over their first dimension and then takes a
// column (`outputs.sum(0).select(0, 0)`), is given a gradient whose rows are one row in memory:
// that says it too.

/// The one factor of all counted rows' losses, a scalar, if it is one; undefined if not.
/// `of_losses`: the gradient of each sample's loss, [n].
at::Tensor common_factor(const at::Tensor& of_losses, const at::Tensor& factors) {
  if (factors.size(0) == 0) return at::zeros({}, factors.options());
  if (of_losses.size(0) == 1 || of_losses.stride(0) == 0) return factors[0];
  const at::Tensor on_host = factors.cpu().to(at::kDouble);
  const std::span<const double> all(on_host.const_data_ptr<double>(),
                                    static_cast<std::size_t>(on_host.size(0)));
  const bool same = std::ranges::all_of(all, [&](double each) { return each == all[0]; });
  return same ? factors[0] : at::Tensor();
}

struct NextTokenLoss : torch::autograd::Function<NextTokenLoss> {
  /// `hidden` in the type of the product, as `rows_of_weight`; `weight` only connects the graph.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden,
                            const at::Tensor& weight, const at::Tensor& rows_of_weight,
                            const Counted& counted) {
    const bool of_hidden = hidden.requires_grad(), of_weight = weight.requires_grad();
    const at::Tensor inputs = hidden.index_select(0, counted.rows);
    const Found found = find(inputs, rows_of_weight, counted.targets, of_hidden, of_weight);
    // The weight is saved itself, so that autograd notices a write between the passes.
    const at::Tensor& kept =
        weight.scalar_type() == rows_of_weight.scalar_type() ? weight : rows_of_weight;
    context->save_for_backward({counted.rows, counted.owners, found.of_inputs,
                                of_weight ? inputs : at::Tensor(), of_weight ? kept : at::Tensor(),
                                found.rows.losses, found.rows.log_sums, counted.targets});
    context->saved_data["tokens"] = hidden.size(0);
    context->saved_data["type"] = static_cast<std::int64_t>(hidden.scalar_type());
    context->saved_data["weight type"] = static_cast<std::int64_t>(weight.scalar_type());
    if (of_weight) context->saved_data["of weight"] = found.of_weight;
    return by_sample(found.rows, counted);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor of_losses = gradients[0].select(1, 0);
    const at::Tensor factors = of_losses.index_select(0, saved[1]).to(saved[5].scalar_type());
    variable_list result(4);
    if (context->needs_input_grad(0)) {
      const auto type = static_cast<at::ScalarType>(context->saved_data["type"].toInt());
      result[0] = at::zeros({context->saved_data["tokens"].toInt(), saved[2].size(1)},
                            saved[2].options().dtype(type));
      result[0].index_copy_(0, saved[0], (saved[2] * factors.unsqueeze(1)).to(type));
    }
    if (context->needs_input_grad(1)) {
      const auto type = static_cast<at::ScalarType>(context->saved_data["weight type"].toInt());
      result[1] = of_weight(context, saved, of_losses, factors).to(type);
    }
    return result;
  }

 private:
  static at::Tensor of_weight(AutogradContext* context, const variable_list& saved,
                              const at::Tensor& of_losses, const at::Tensor& factors) {
    // Scaled in its place, so it serves one backward.
    const at::IValue found = std::exchange(context->saved_data["of weight"], at::IValue());
    const at::Tensor factor = found.isTensor() ? common_factor(of_losses, factors) : at::Tensor();
    if (factor.defined()) return found.toTensor().mul_(factor);
    return weight_gradient(saved[3], saved[4], saved[7],
                           {.losses = saved[5], .log_sums = saved[6], .right = {}}, factors);
  }
};

void check(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& tokens,
           const at::Tensor& prompt_lengths, const SampleRows& rows) {
  constexpr std::int64_t kMostWords = 1 << 24;  // float32 counts so far
  TORCH_CHECK(hidden.dim() == 2 && weight.dim() == 2 && weight.size(1) == hidden.size(1) &&
                  weight.size(0) > 0 && weight.size(0) <= kMostWords,
              "next_token_loss: hidden states [T, width] and weights [V, width], not ",
              hidden.sizes(), " and ", weight.sizes());
  TORCH_CHECK(!rows.offsets.empty() && rows.offsets.back() == hidden.size(0),
              "next_token_loss: offsets do not end at the last of ", hidden.size(0), " tokens");
  TORCH_CHECK(tokens.dim() == 1 && tokens.size(0) == hidden.size(0) &&
                  tokens.scalar_type() == at::kLong && prompt_lengths.dim() == 1 &&
                  prompt_lengths.size(0) + 1 == static_cast<std::int64_t>(rows.offsets.size()) &&
                  prompt_lengths.scalar_type() == at::kLong,
              "next_token_loss: tokens must be int64 [T], prompt lengths int64 [n]");
}

}  // namespace

at::Tensor next_token_loss(const at::Tensor& hidden, const at::Tensor& weight,
                           PreparedWeights& prepared, at::ScalarType type, const at::Tensor& tokens,
                           const at::Tensor& prompt_lengths, RowsPointer rows) {
  check(hidden, weight, tokens, prompt_lengths, *rows);
  const Counted counted = find_counted(tokens, prompt_lengths, *rows, weight.size(0));
  const bool recorded = records({hidden, weight});
  const at::Tensor cast = hidden.to(type);
  at::Tensor rows_of_weight;
  {
    const c10::AutoGradMode no_grad(false);
    rows_of_weight = prepared.get(weight, type, hidden.device());
  }
  if (recorded) {
    return NextTokenLoss::apply(cast, weight, rows_of_weight, counted);
  }
  const at::Tensor inputs = cast.index_select(0, counted.rows);
  return by_sample(find(inputs, rows_of_weight, counted.targets, false, false).rows, counted);
}

}  // namespace thaw
