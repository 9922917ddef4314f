#pragma once

#include "core/kernels/gpu/attention/fragments.h"
#include "core/kernels/gpu/keyed_rows.h"

namespace thaw::gpu {

// Note [Attention on tensor cores]
// Attention over packed samples in bfloat16, without padding and in memory that grows with the
// tokens: blocks of four warps take kQueries queries, or keys, of one head of one sample, and go
// through the others in stretches of kKeys, as FlashAttention does (Dao 2023). Each warp has 16
// rows, whose softmax stays in its registers: the probabilities of 16 keys are the A of the next
// product as they are (Note [Fragments]). Backward computes scores and draws again, once for the
// queries' gradients and once for the keys' and values', so that no two blocks write one element
// and bits repeat themselves. Operands are rounded to bfloat16 with their biases; sums, softmax and
// dropout's scale are float32.

constexpr int kQueries = 64, kKeys = 64;

/// What the kernels of both directions read.
template <typename M>
struct AttentionOperands {
  typename M::template In<BFloat16Bits> projected;  ///< [T, 3 * heads * D]: q, k, v
  typename M::template In<float> biases[3];         ///< [heads * D]
  typename M::template In<std::int32_t> offsets;    ///< [n + 1]
  typename M::template In<std::int64_t> samples;    ///< [n], for the draws
  DropoutKey key;
  bool drops = false;
  bool causal = false;  ///< a token attends to itself and what stands before it
  float scale = 0;      ///< of queries times keys; 0: 1 / sqrt(D)
  std::int64_t count = 0, heads = 0, tokens = 0, longest = 0;  ///< n; of T; of a sample
};

template <int D, typename M>
THAW_DEVICE float scale_of(const AttentionOperands<M>& o) {
  return o.scale != 0 ? o.scale : 1.0F / sqrtf(static_cast<float>(D));
}

/// A stretch of one head of one sample.
struct HeadStretch {
  std::int64_t sample, head, begin, length, first;  ///< first token and tokens of the sample
  THAW_DEVICE bool empty() const { return first >= length; }
};

/// Blocks of `stretch` tokens for the longest sample; shorter ones leave some of them nothing.
template <typename M>
THAW_HOST_AND_DEVICE std::int64_t head_items(const AttentionOperands<M>& o, int stretch) {
  return o.count * o.heads * ((o.longest + stretch - 1) / stretch);
}
template <typename M>
THAW_DEVICE HeadStretch head_stretch(const AttentionOperands<M>& o, int stretch,
                                     std::int64_t item) {
  const std::int64_t stretches = (o.longest + stretch - 1) / stretch, pair = item / stretches;
  const std::int64_t sample = pair / o.heads;
  return {sample, pair % o.heads, o.offsets[sample], o.offsets[sample + 1] - o.offsets[sample],
          item % stretches * stretch};
}

/// Copies 64 rows of a head from `first` on into a tile, with their bias if there is one; zeros
/// behind the sample's end. Called by the team as a whole.
template <int D, typename Team, typename Tile, typename From, typename Bias>
THAW_DEVICE void stage(Team& team, const Tile& tile, const From& from, std::int64_t row_size,
                       std::int64_t column, const Bias& bias, std::int64_t bias_column,
                       const HeadStretch& head, std::int64_t first) {
  team.each([&](int thread) {
    for (int i = thread; i < 64 * D / 4; i += Team::kThreads) {
      const int row = i / (D / 4), c = i % (D / 4) * 4;
      Values<float, 4> x = zeros<float, 4>();
      if (first + row < head.length) {
        x = load<float, 4>(from, (head.begin + first + row) * row_size + column + c);
        if (bias.there()) add(x, load<float, 4>(bias, bias_column + c));
      }
      store<BFloat16Bits>(tile.memory, row * Tile::kRow + c, x);
    }
  });
}

/// The same of queries (0), keys (1) or values (2).
template <int D, typename M, typename Team, typename Tile>
THAW_DEVICE void stage_part(Team& team, const Tile& tile, const AttentionOperands<M>& o, int part,
                            const HeadStretch& head, std::int64_t first) {
  const std::int64_t width = o.heads * D;
  stage<D>(team, tile, o.projected, 3 * width, part * width + head.head * D, o.biases[part],
           head.head * D, head, first);
}

/// Which of 64 queries' scores with 64 keys are kept: two blocks of 128 draws a query, from the one
/// that its first key is in.
template <typename Shared>
struct ScoreMask {
  static constexpr int kBytes = 64 * 32;
  Shared memory;

  /// Called by the team as a whole.
  template <typename M, typename Team>
  THAW_DEVICE void draw(Team& team, const AttentionOperands<M>& o, const HeadStretch& head,
                        std::int64_t first_query, std::int64_t first_key) const {
    team.each([&](int thread) {
      for (int i = thread; i < kBytes; i += Team::kThreads) {
        const std::int64_t query = first_query + i / 32;
        const std::int64_t index = query * head.length + first_key;
        if (query >= head.length || (i % 32 >= 16 && index % 128 + kKeys <= 128)) continue;
        memory.set(i, kept_of_call(o.key, static_cast<std::uint64_t>(o.samples[head.sample]),
                                   static_cast<std::uint32_t>(head.head),
                                   static_cast<std::uint32_t>(index / 128 * 16 + i % 32)));
      }
    });
  }
  /// Of query `row` and key `column` of those drawn; `shift` as shift_of says for the query.
  THAW_DEVICE bool keeps(int row, int column, int shift) const {
    const int i = shift + column;
    return (memory.get(row * 32 + i / 128 * 16 + i % 16) >> (i % 128 / 16) & 1) != 0;
  }
  THAW_DEVICE static int shift_of(const HeadStretch& head, std::int64_t query,
                                  std::int64_t first_key) {
    return static_cast<int>((query * head.length + first_key) % 128);
  }
};

/// Stores a warp's [16, D] of Cs as rows `first` + its own of a head, times `factor`; rows behind
/// the sample's end are left out.
template <int D, typename Team, typename To>
THAW_DEVICE void store_rows(Team& team, const typename Team::template Private<FragmentC>* rows,
                            const To& to, std::int64_t row_size, std::int64_t column,
                            const HeadStretch& head, float factor) {
  team.apart([&](int thread) {
    THAW_UNROLL
    for (int half = 0; half < 2; ++half) {
      const std::int64_t row = head.first + thread / 32 * 16 + fragment_row(thread) + half * 8;
      if (row >= head.length) continue;
      THAW_UNROLL
      for (int n = 0; n < D / 8; ++n) {
        Values<float, 2> x;
        THAW_UNROLL
        for (int k = 0; k < 2; ++k) x[k] = rows[n][thread].at[half * 2 + k] * factor;
        store<BFloat16Bits>(
            to, (head.begin + row) * row_size + column + n * 8 + fragment_column(thread), x);
      }
    }
  });
}

/// Forward: `output` [T, heads * D], and the logarithms of the softmax's sums, [heads, T], if
/// there.
template <typename M, int D>
struct AttendRows {
  static constexpr int kThreads = 128;

  AttentionOperands<M> operands;
  typename M::template Out<BFloat16Bits> output;
  typename M::template Out<float> log_sums;

  THAW_HOST_AND_DEVICE std::int64_t items() const { return head_items(operands, kQueries); }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const {
    return 2 * shared_room<BFloat16Bits>(64 * (D + 8)) + shared_room<std::uint8_t>(64 * 32);
  }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    using Rows = Tile<typename Team::template Shared<BFloat16Bits>, D>;
    const Rows keys{team.template shared<BFloat16Bits>(64 * Rows::kRow)};
    const Rows values{team.template shared<BFloat16Bits>(64 * Rows::kRow)};
    const ScoreMask<typename Team::template Shared<std::uint8_t>> mask{
        team.template shared<std::uint8_t>(64 * 32)};
    State<Team> s;
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const HeadStretch head = head_stretch(operands, kQueries, item);
      if (head.empty()) continue;
      stage_part<D>(team, keys, operands, 0, head, head.first);
      team.each([&](int thread) { begin(s, keys, thread); });
      const std::int64_t last = head.first + kQueries;
      const std::int64_t end = operands.causal && last < head.length ? last : head.length;
      for (std::int64_t first = 0; first < end; first += kKeys) {
        stage_part<D>(team, keys, operands, 1, head, first);
        stage_part<D>(team, values, operands, 2, head, first);
        if (operands.drops) mask.draw(team, operands, head, head.first, first);
        multiply_scores(team, s, keys);
        soften(team, s, head, first, mask);
        team.converge();
        add_values(team, s, values);
        team.wait();
      }
      finish(team, s, head);
    }
  }

 private:
  /// What a thread keeps of its two rows of queries.
  template <typename Team>
  struct State {
    template <typename T>
    using Private = typename Team::template Private<T>;
    Private<FragmentA> query[D / 16], probability[kKeys / 16];
    Private<FragmentC> score[kKeys / 8], out[D / 8];
    Private<FragmentB> b;
    Private<float> top[2], highest[2], total[2];
  };

  template <typename Team, typename Rows>
  THAW_DEVICE static void begin(State<Team>& s, const Rows& queries, int thread) {
    THAW_UNROLL
    for (int k = 0; k < D / 16; ++k) {
      s.query[k][thread] = queries.as_a(thread / 32 * 16, k * 16, thread);
    }
    THAW_UNROLL
    for (int n = 0; n < D / 8; ++n) s.out[n][thread] = {};
    THAW_UNROLL
    for (int half = 0; half < 2; ++half) {
      s.highest[half][thread] = -INFINITY;
      s.total[half][thread] = 0;
    }
  }

  template <typename Team, typename Rows>
  THAW_DEVICE static void multiply_scores(Team& team, State<Team>& s, const Rows& keys) {
    THAW_UNROLL
    for (int n = 0; n < kKeys / 8; ++n) {
      team.apart([&](int thread) { s.score[n][thread] = {}; });
      THAW_UNROLL
      for (int k = 0; k < D / 16; ++k) {
        team.apart([&](int thread) { s.b[thread] = keys.rows_as_b(n * 8, k * 16, thread); });
        team.multiply_add(s.score[n], s.query[k], s.b);
      }
    }
  }

  /// Scores to probabilities that still lack their sum, which goes on in `total`; what was added up
  /// before is brought to the new highest score.
  template <typename Team, typename Mask>
  THAW_DEVICE void soften(Team& team, State<Team>& s, const HeadStretch& head, std::int64_t first,
                          const Mask& mask) const {
    const float scale = scale_of<D>(operands);
    team.apart([&](int thread) {
      s.top[0][thread] = s.top[1][thread] = -INFINITY;
      THAW_UNROLL
      for (int n = 0; n < kKeys / 8; ++n) {
        THAW_UNROLL
        for (int i = 0; i < 4; ++i) {
          const std::int64_t key = first + n * 8 + fragment_column(thread) + i % 2;
          const bool seen =
              key < head.length && (!operands.causal || key <= query_of(head, thread, i / 2));
          float& score = s.score[n][thread].at[i];
          score = seen ? score * scale : -INFINITY;
          s.top[i / 2][thread] = score > s.top[i / 2][thread] ? score : s.top[i / 2][thread];
        }
      }
    });
    team.template largest_of_groups<4>(s.top[0]);
    team.template largest_of_groups<4>(s.top[1]);
    team.apart([&](int thread) {
      THAW_UNROLL
      for (int half = 0; half < 2; ++half) {
        float& highest = s.highest[half][thread];
        const float now = s.top[half][thread] > highest ? s.top[half][thread] : highest;
        const float factor = exponential(highest - now);
        highest = now;
        s.total[half][thread] *= factor;
        THAW_UNROLL
        for (int n = 0; n < D / 8; ++n) {
          THAW_UNROLL
          for (int k = 0; k < 2; ++k) s.out[n][thread].at[half * 2 + k] *= factor;
        }
        const int row = static_cast<int>(query_of(head, thread, half) - head.first);
        const int shift = mask.shift_of(head, head.first + row, first);
        THAW_UNROLL
        for (int n = 0; n < kKeys / 8; ++n) {
          THAW_UNROLL
          for (int k = 0; k < 2; ++k) {
            float& p = s.score[n][thread].at[half * 2 + k];
            p = exponential(p - now);
            s.total[half][thread] += p;
            if (operands.drops && p > 0 && head.first + row < head.length &&
                !mask.keeps(row, n * 8 + fragment_column(thread) + k, shift)) {
              p = 0;
            }
          }
        }
      }
      THAW_UNROLL
      for (int j = 0; j < kKeys / 16; ++j) {
        s.probability[j][thread] = packed(s.score[2 * j][thread], s.score[2 * j + 1][thread]);
      }
    });
  }

  template <typename Team, typename Rows>
  THAW_DEVICE static void add_values(Team& team, State<Team>& s, const Rows& values) {
    THAW_UNROLL
    for (int n = 0; n < D / 8; ++n) {
      THAW_UNROLL
      for (int j = 0; j < kKeys / 16; ++j) {
        team.apart([&](int thread) { s.b[thread] = values.as_b(j * 16, n * 8, thread); });
        team.multiply_add(s.out[n], s.probability[j], s.b);
      }
    }
  }

  template <typename Team>
  THAW_DEVICE void finish(Team& team, State<Team>& s, const HeadStretch& head) const {
    team.template sum_groups<4>(s.total[0]);
    team.template sum_groups<4>(s.total[1]);
    const float scale = operands.drops ? static_cast<float>(operands.key.scale) : 1.0F;
    team.apart([&](int thread) {
      THAW_UNROLL
      for (int half = 0; half < 2; ++half) {
        THAW_UNROLL
        for (int n = 0; n < D / 8; ++n) {
          THAW_UNROLL
          for (int k = 0; k < 2; ++k) s.out[n][thread].at[half * 2 + k] /= s.total[half][thread];
        }
        const std::int64_t query = query_of(head, thread, half);
        if (thread % 4 == 0 && query < head.length && log_sums.there()) {
          log_sums.set(head.head * operands.tokens + head.begin + query,
                       s.highest[half][thread] + logarithm(s.total[half][thread]));
        }
      }
    });
    const std::int64_t width = operands.heads * D;
    store_rows<D>(team, s.out, output, width, head.head * D, head, scale);
  }

  /// The query of a thread's upper (0) or lower (1) row.
  THAW_DEVICE static std::int64_t query_of(const HeadStretch& head, int thread, int half) {
    return head.first + thread / 32 * 16 + fragment_row(thread) + half * 8;
  }
};

}  // namespace thaw::gpu
