#include "core/kernels/gpu/attention/attention.h"

#include <algorithm>
#include <limits>

#include "core/kernels/gpu/attention/attention_backward.h"
#include "tests/core/kernels/gpu/keyed_operands.h"

namespace thaw {
namespace {

using emulated::Grid;
using emulated::Memory;
using Numbers = std::vector<double>;

struct Options {
  bool drops, causal;
  int size = 0;  ///< elements of a head, behind which its kernel's are 0; 0: all of them
};

/// One case and its results in float64, whose operands are rounded with their biases as the
/// kernels' are.
template <int D>
struct Case {
  Case(const std::vector<std::int32_t>& lengths, std::int64_t h, Options o)
      : rows(lengths), heads(h), width(h * D), options(o) {
    projected = random_values<BFloat16Bits>(rows.count() * 3 * width, 1);
    gradient = random_values<BFloat16Bits>(rows.count() * width, 2);
    for (unsigned part = 0; part < 3; ++part) {
      biases.push_back(random_values<float>(width, 3 + part));
    }
    if (options.size == 0) return;
    for (std::int64_t i = 0; i < rows.count() * 3 * width; ++i) {
      if (i % D >= options.size) projected[static_cast<std::size_t>(i)] = {0};
    }
    for (std::vector<float>& bias : biases) bias.assign(bias.size(), 0);
    scale = 1 / std::sqrt(static_cast<float>(options.size));
  }

  double operand(std::int64_t part, std::int64_t token, std::int64_t column) const {
    const std::int64_t at = token * 3 * width + part * width + column;
    const float sum = gpu::widen(projected[static_cast<std::size_t>(at)]) +
                      biases[static_cast<std::size_t>(part)][static_cast<std::size_t>(column)];
    return value_of(gpu::Narrow<BFloat16Bits>::of(sum));
  }

  void compute() {
    output.assign(static_cast<std::size_t>(rows.count() * width), 0);
    projected_gradient.assign(static_cast<std::size_t>(rows.count() * 3 * width), 0);
    log_sums.assign(static_cast<std::size_t>(rows.count() * heads), 0);
    for (std::size_t n = 0; n < rows.samples.size(); ++n) {
      for (std::int64_t head = 0; head < heads; ++head) {
        for (std::int64_t q = 0; q < rows.offsets[n + 1] - rows.offsets[n]; ++q) query(n, head, q);
      }
    }
  }

  /// One query of one head: its output, and what it adds to all gradients.
  void query(std::size_t n, std::int64_t head, std::int64_t q) {
    const std::int64_t begin = rows.offsets[n], length = rows.offsets[n + 1] - begin;
    const std::int64_t seen = options.causal ? q + 1 : length;
    const auto dot = [&](auto left, auto right) {
      double sum = 0;
      for (std::int64_t i = 0; i < D; ++i) sum += left(i) * right(i);
      return sum;
    };
    const auto of = [&](std::int64_t part, std::int64_t token) {
      return
          [this, part, token, head](std::int64_t i) { return operand(part, token, head * D + i); };
    };
    const auto dy = [&](std::int64_t i) {
      return value_of(gradient[static_cast<std::size_t>((begin + q) * width + head * D + i)]);
    };
    Numbers p, factors, d;
    double total = 0, delta = 0;
    for (std::int64_t k = 0; k < seen; ++k) {
      p.push_back(std::exp(dot(of(0, begin + q), of(1, begin + k)) * score_scale()));
      total += p.back();
    }
    log_sums[static_cast<std::size_t>(head * rows.count() + begin + q)] = std::log(total);
    for (std::int64_t k = 0; k < seen; ++k) {
      const auto i = static_cast<std::size_t>(k);
      p[i] /= total;
      const bool kept = !options.drops || key.keeps(static_cast<std::uint64_t>(rows.samples[n]),
                                                    static_cast<std::uint32_t>(head),
                                                    static_cast<std::uint32_t>(q * length + k));
      factors.push_back(!kept ? 0 : options.drops ? key.scale : 1);
      d.push_back(factors[i] * dot(dy, of(2, begin + k)));
      delta += p[i] * d[i];
    }
    for (std::int64_t k = 0; k < seen; ++k) {
      const auto i = static_cast<std::size_t>(k);
      const double score = p[i] * (d[i] - delta) * score_scale();
      for (std::int64_t c = 0; c < D; ++c) {
        const std::int64_t column = head * D + c;
        output[static_cast<std::size_t>((begin + q) * width + column)] +=
            p[i] * factors[i] * operand(2, begin + k, column);
        at(0, begin + q, column) += score * operand(1, begin + k, column);
        at(1, begin + k, column) += score * operand(0, begin + q, column);
        at(2, begin + k, column) += p[i] * factors[i] * dy(c);
      }
    }
  }
  double score_scale() const { return scale != 0 ? scale : 1 / std::sqrt(double{D}); }
  double& at(std::int64_t part, std::int64_t token, std::int64_t column) {
    return projected_gradient[static_cast<std::size_t>(token * 3 * width + part * width + column)];
  }

  gpu::AttentionOperands<Memory> operands(Grid& grid) const {
    gpu::AttentionOperands<Memory> result;
    result.projected = grid.input("projected", projected);
    for (std::size_t part = 0; part < 3; ++part) {
      result.biases[part] = grid.input("bias", biases[part]);
    }
    result.offsets = grid.input("offsets", rows.offsets);
    result.samples = grid.input("samples", rows.samples);
    result.key = key;
    result.drops = options.drops;
    result.causal = options.causal;
    result.scale = scale;
    result.count = static_cast<std::int64_t>(rows.samples.size());
    result.heads = heads;
    result.tokens = rows.count();
    for (std::size_t n = 0; n < rows.samples.size(); ++n) {
      result.longest =
          std::max<std::int64_t>(result.longest, rows.offsets[n + 1] - rows.offsets[n]);
    }
    return result;
  }

  PackedRows rows;
  std::int64_t heads, width;
  Options options;
  DropoutKey key = key_of(0.25);
  float scale = 0;
  std::vector<BFloat16Bits> projected, gradient;
  std::vector<std::vector<float>> biases;
  Numbers output, log_sums, projected_gradient;
};

/// The largest difference, of the largest value; NaN counts as infinite.
double difference(const Numbers& found, const Numbers& expected) {
  double most = 0, largest = 1e-30;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double apart = std::abs(found[i] - expected[i]);
    most = std::max(most, std::isnan(apart) ? std::numeric_limits<double>::infinity() : apart);
    largest = std::max(largest, std::abs(expected[i]));
  }
  return most / largest;
}

template <int D>
void check(const std::vector<std::int32_t>& lengths, std::int64_t heads, Options options) {
  SCOPED_TRACE(testing::Message() << "size " << D << ", " << lengths.size() << " samples"
                                  << (options.drops ? ", dropout" : "")
                                  << (options.causal ? ", causal" : "") << ", of " << options.size);
  Case<D> c(lengths, heads, options);
  c.compute();

  Grid forward_grid;
  gpu::AttendRows<Memory, D> forward;
  forward.operands = c.operands(forward_grid);
  forward.output = forward_grid.output<BFloat16Bits>("output", c.rows.count() * c.width);
  forward.log_sums = forward_grid.output<float>("log sums", c.rows.count() * heads);
  forward_grid.run(forward);
  // Probabilities and results are rounded to bfloat16 each.
  EXPECT_LE(difference(values_of(forward.output.array->now()), c.output), 6e-3);
  EXPECT_LE(difference(values_of(forward.log_sums.array->now()), c.log_sums), 1e-5);

  Grid grid;
  gpu::AttendRowsQueryGradient<Memory, D> of_queries;
  of_queries.operands.of = c.operands(grid);
  of_queries.operands.gradient = grid.input("gradient", c.gradient);
  of_queries.operands.log_sums = grid.input("log sums", forward.log_sums.array->now());
  of_queries.output = grid.input("output", forward.output.array->now());
  const std::vector<BFloat16Bits> nothing(c.projected.size(), BFloat16Bits{0});
  of_queries.projected_gradient = grid.partial("projected gradient", nothing);
  of_queries.deltas = grid.output<float>("deltas", c.rows.count() * heads);
  grid.run(of_queries);

  Grid key_grid;
  gpu::AttendRowsKeyGradient<Memory, D> of_keys;
  of_keys.operands.of = c.operands(key_grid);
  of_keys.operands.gradient = key_grid.input("gradient", c.gradient);
  of_keys.operands.log_sums = key_grid.input("log sums", forward.log_sums.array->now());
  of_keys.deltas = key_grid.input("deltas", of_queries.deltas.array->now());
  of_keys.projected_gradient = key_grid.partial("projected gradient", nothing);
  key_grid.run(of_keys);

  // Each kernel writes its parts alone.
  Numbers found = values_of(of_queries.projected_gradient.array->now());
  const Numbers other = values_of(of_keys.projected_gradient.array->now());
  for (std::size_t i = 0; i < found.size(); ++i) found[i] += other[i];
  EXPECT_LE(difference(found, c.projected_gradient), 1e-2);
}

constexpr Options kOptions[] = {
    {.drops = false, .causal = false},
    {.drops = true, .causal = false},
    {.drops = false, .causal = true},
    {.drops = true, .causal = true},
};

TEST(GpuAttention, IsThatOfFloat64) {
  for (const Options& options : kOptions) check<32>({1, 17, 0, 64, 66}, 2, options);
}

TEST(GpuAttention, SeveralStretchesOfLargerHeads) {
  check<64>({130, 3}, 1, {.drops = true, .causal = false});
  check<128>({70}, 1, {.drops = true, .causal = true});
}

TEST(GpuAttention, HeadsOfOtherSizesAreThoseWithZerosBehind) {
  check<32>({5, 40}, 2, {.drops = true, .causal = true, .size = 20});
  check<128>({70}, 1, {.drops = true, .causal = false, .size = 80});
}

TEST(GpuAttention, NoTokensAreNoItems) {
  const gpu::AttendRows<Memory, 32> forward;
  EXPECT_EQ(forward.items(), 0);
}

}  // namespace
}  // namespace thaw
