#pragma once

#include "core/kernels/gpu/attention/attention.h"

namespace thaw::gpu {

/// What both kernels of backward read besides.
template <typename M>
struct AttentionGradient {
  AttentionOperands<M> of;
  typename M::template In<BFloat16Bits> gradient;  ///< of the output, [T, heads * D]
  typename M::template In<float> log_sums;         ///< [heads, T], from forward
};

/// Probability and gradient of one score, of which the products are made. With p the probability, f
/// dropout's factor and d the gradient of p f: the product's other operand is p f for the values,
/// and p (d f - delta) times the scores' scale for queries and keys, where delta is the sum of d f
/// p over a query's keys.
struct ScoreGradient {
  float kept;   ///< p f
  float score;  ///< p (d f - delta) scale
};
THAW_DEVICE ScoreGradient score_gradient(float scale, float score, float gradient, float log_sum,
                                         float delta, float factor, bool seen) {
  if (!seen) return {0, 0};
  const float p = exponential(score * scale - log_sum);
  return {p * factor, p * (gradient * factor - delta) * scale};
}

/// The queries' part of `projected_gradient`, [T, 3 * heads * D], and each query's delta,
/// [heads, T], for the kernel of the keys and values. `output`: forward's.
template <typename M, int D>
struct AttendRowsQueryGradient {
  static constexpr int kThreads = 128;

  AttentionGradient<M> operands;
  typename M::template In<BFloat16Bits> output;
  typename M::template Out<BFloat16Bits> projected_gradient;
  typename M::template Out<float> deltas;

  THAW_HOST_AND_DEVICE std::int64_t items() const { return head_items(operands.of, kQueries); }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const {
    return 2 * shared_room<BFloat16Bits>(64 * (D + 8)) + shared_room<std::uint8_t>(64 * 32) +
           shared_room<float>(64);
  }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    using Rows = Tile<typename Team::template Shared<BFloat16Bits>, D>;
    const Rows keys{team.template shared<BFloat16Bits>(64 * Rows::kRow)};
    const Rows values{team.template shared<BFloat16Bits>(64 * Rows::kRow)};
    const ScoreMask<typename Team::template Shared<std::uint8_t>> mask{
        team.template shared<std::uint8_t>(64 * 32)};
    const auto delta = team.template shared<float>(64);
    State<Team> s;
    const AttentionOperands<M>& of = operands.of;
    const std::int64_t width = of.heads * D;
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const HeadStretch head = head_stretch(of, kQueries, item);
      if (head.empty()) continue;
      stage_part<D>(team, keys, of, 0, head, head.first);
      stage<D>(team, values, operands.gradient, width, head.head * D,
               typename M::template In<float>(), 0, head, head.first);
      sum_deltas(team, s, delta, head);
      team.each([&](int thread) { begin(s, keys, values, delta, head, thread); });
      const std::int64_t last = head.first + kQueries;
      const std::int64_t end = of.causal && last < head.length ? last : head.length;
      for (std::int64_t first = 0; first < end; first += kKeys) {
        stage_part<D>(team, keys, of, 1, head, first);
        stage_part<D>(team, values, of, 2, head, first);
        if (of.drops) mask.draw(team, of, head, head.first, first);
        for (int j = 0; j < kKeys / 16; ++j) add_keys(team, s, keys, values, mask, head, first, j);
        team.wait();
      }
      store_rows<D>(team, s.out, projected_gradient, 3 * width, head.head * D, head, 1.0F);
    }
  }

 private:
  template <typename Team>
  struct State {
    template <typename T>
    using Private = typename Team::template Private<T>;
    Private<FragmentA> query[D / 16], gradient[D / 16], d_score;
    Private<FragmentC> score[2], d[2], out[D / 8];
    Private<FragmentB> b;
    Private<float> log_sum[2], delta[2], partial;
  };

  /// delta is the sum of gradient times output, a query: two threads each.
  template <typename Team, typename Delta>
  THAW_DEVICE void sum_deltas(Team& team, State<Team>& s, const Delta& delta,
                              const HeadStretch& head) const {
    const std::int64_t width = operands.of.heads * D;
    team.apart([&](int thread) {
      const std::int64_t query = head.first + thread / 2;
      s.partial[thread] = 0;
      if (query >= head.length) return;
      const std::int64_t at = (head.begin + query) * width + head.head * D + thread % 2 * (D / 2);
      for (int i = 0; i < D / 2; i += 4) {
        const Values<float, 4> dy = load<float, 4>(operands.gradient, at + i);
        const Values<float, 4> y = load<float, 4>(output, at + i);
        THAW_UNROLL
        for (int k = 0; k < 4; ++k) s.partial[thread] += dy[k] * y[k];
      }
    });
    team.template sum_groups<2>(s.partial);
    team.each([&](int thread) {
      if (thread % 2 != 0) return;
      delta.set(thread / 2, s.partial[thread]);
      const std::int64_t query = head.first + thread / 2;
      if (query < head.length) {
        deltas.set(head.head * operands.of.tokens + head.begin + query, s.partial[thread]);
      }
    });
  }

  template <typename Team, typename Rows, typename Delta>
  THAW_DEVICE void begin(State<Team>& s, const Rows& queries, const Rows& gradients,
                         const Delta& delta, const HeadStretch& head, int thread) const {
    const int row = thread / 32 * 16;
    THAW_UNROLL
    for (int k = 0; k < D / 16; ++k) {
      s.query[k][thread] = queries.as_a(row, k * 16, thread);
      s.gradient[k][thread] = gradients.as_a(row, k * 16, thread);
    }
    THAW_UNROLL
    for (int n = 0; n < D / 8; ++n) s.out[n][thread] = {};
    THAW_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int mine = row + fragment_row(thread) + half * 8;
      s.delta[half][thread] = delta.get(mine);
      s.log_sum[half][thread] =
          head.first + mine < head.length
              ? operands.log_sums[head.head * operands.of.tokens + head.begin + head.first + mine]
              : 0;
    }
  }

  /// 16 of the keys: the scores' gradients, and what they add to the queries'.
  template <typename Team, typename Rows, typename Mask>
  THAW_DEVICE void add_keys(Team& team, State<Team>& s, const Rows& keys, const Rows& values,
                            const Mask& mask, const HeadStretch& head, std::int64_t first,
                            int j) const {
    THAW_UNROLL
    for (int n = 0; n < 2; ++n) {
      const int row = j * 16 + n * 8;
      team.apart([&](int thread) { s.score[n][thread] = s.d[n][thread] = {}; });
      THAW_UNROLL
      for (int k = 0; k < D / 16; ++k) {
        team.apart([&](int thread) { s.b[thread] = keys.rows_as_b(row, k * 16, thread); });
        team.multiply_add(s.score[n], s.query[k], s.b);
        team.apart([&](int thread) { s.b[thread] = values.rows_as_b(row, k * 16, thread); });
        team.multiply_add(s.d[n], s.gradient[k], s.b);
      }
      team.apart([&](int thread) { differentiate(s, mask, head, first, row, n, thread); });
      team.converge();
    }
    team.apart(
        [&](int thread) { s.d_score[thread] = packed(s.score[0][thread], s.score[1][thread]); });
    THAW_UNROLL
    for (int n = 0; n < D / 8; ++n) {
      team.apart([&](int thread) { s.b[thread] = keys.as_b(j * 16, n * 8, thread); });
      team.multiply_add(s.out[n], s.d_score, s.b);
    }
  }

  /// Of a thread's scores with keys [row, row + 8) of the tile, their gradients in their place.
  template <typename Team, typename Mask>
  THAW_DEVICE void differentiate(State<Team>& s, const Mask& mask, const HeadStretch& head,
                                 std::int64_t first, int row, int n, int thread) const {
    THAW_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int mine = thread / 32 * 16 + fragment_row(thread) + i / 2 * 8;
      const int column = row + fragment_column(thread) + i % 2;
      const std::int64_t query = head.first + mine, key = first + column;
      const bool seen =
          query < head.length && key < head.length && (!operands.of.causal || key <= query);
      float factor = 1;
      if (operands.of.drops && seen) {
        factor = mask.keeps(mine, column, mask.shift_of(head, query, first))
                     ? static_cast<float>(operands.of.key.scale)
                     : 0.0F;
      }
      float& score = s.score[n][thread].at[i];
      score = score_gradient(scale_of<D>(operands.of), score, s.d[n][thread].at[i],
                             s.log_sum[i / 2][thread], s.delta[i / 2][thread], factor, seen)
                  .score;
    }
  }
};

/// The keys' and values' parts of `projected_gradient`. `deltas`: of the kernel above.
template <typename M, int D>
struct AttendRowsKeyGradient {
  static constexpr int kThreads = 128;

  AttentionGradient<M> operands;
  typename M::template In<float> deltas;
  typename M::template Out<BFloat16Bits> projected_gradient;

  THAW_HOST_AND_DEVICE std::int64_t items() const { return head_items(operands.of, kKeys); }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const {
    return 4 * shared_room<BFloat16Bits>(64 * (D + 8)) + shared_room<std::uint8_t>(64 * 32) +
           2 * shared_room<float>(64);
  }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    using Rows = Tile<typename Team::template Shared<BFloat16Bits>, D>;
    const auto rows = [&] { return Rows{team.template shared<BFloat16Bits>(64 * Rows::kRow)}; };
    const Tiles<Team> t{rows(),
                        rows(),
                        rows(),
                        rows(),
                        {team.template shared<std::uint8_t>(64 * 32)},
                        team.template shared<float>(64),
                        team.template shared<float>(64)};
    State<Team> s;
    const AttentionOperands<M>& of = operands.of;
    const std::int64_t width = of.heads * D;
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const HeadStretch head = head_stretch(of, kKeys, item);
      if (head.empty()) continue;
      stage_part<D>(team, t.keys, of, 1, head, head.first);
      stage_part<D>(team, t.values, of, 2, head, head.first);
      team.apart([&](int thread) {
        THAW_UNROLL
        for (int n = 0; n < D / 8; ++n) s.d_key[n][thread] = s.d_value[n][thread] = {};
      });
      for (std::int64_t first = of.causal ? head.first : 0; first < head.length;
           first += kQueries) {
        stage_queries(team, t, head, first);
        for (int j = 0; j < kQueries / 16; ++j) add_queries(team, s, t, head, first, j);
        team.wait();
      }
      store_rows<D>(team, s.d_key, projected_gradient, 3 * width, width + head.head * D, head,
                    1.0F);
      store_rows<D>(team, s.d_value, projected_gradient, 3 * width, 2 * width + head.head * D, head,
                    1.0F);
    }
  }

 private:
  template <typename Team>
  struct Tiles {
    Tile<typename Team::template Shared<BFloat16Bits>, D> keys, values, queries, gradients;
    ScoreMask<typename Team::template Shared<std::uint8_t>> mask;
    typename Team::template Shared<float> log_sums, deltas;
  };
  template <typename Team>
  struct State {
    template <typename T>
    using Private = typename Team::template Private<T>;
    Private<FragmentA> a;
    Private<FragmentC> score[2], d[2], d_key[D / 8], d_value[D / 8];
    Private<FragmentB> b;
  };

  template <typename Team>
  THAW_DEVICE void stage_queries(Team& team, const Tiles<Team>& t, const HeadStretch& head,
                                 std::int64_t first) const {
    const AttentionOperands<M>& of = operands.of;
    stage_part<D>(team, t.queries, of, 0, head, first);
    stage<D>(team, t.gradients, operands.gradient, of.heads * D, head.head * D,
             typename M::template In<float>(), 0, head, first);
    if (of.drops) t.mask.draw(team, of, head, first, head.first);
    team.each([&](int thread) {
      if (thread >= kQueries) return;
      const bool there = first + thread < head.length;
      const std::int64_t at = head.head * of.tokens + head.begin + first + thread;
      t.log_sums.set(thread, there ? operands.log_sums[at] : 0);
      t.deltas.set(thread, there ? deltas[at] : 0);
    });
  }

  /// 16 of the queries, as columns: what they add to the keys' and the values' gradients.
  template <typename Team>
  THAW_DEVICE void add_queries(Team& team, State<Team>& s, const Tiles<Team>& t,
                               const HeadStretch& head, std::int64_t first, int j) const {
    THAW_UNROLL
    for (int n = 0; n < 2; ++n) {
      const int row = j * 16 + n * 8;
      team.apart([&](int thread) { s.score[n][thread] = s.d[n][thread] = {}; });
      THAW_UNROLL
      for (int k = 0; k < D / 16; ++k) {
        multiply(team, s, s.score[n], t.keys, t.queries, row, k);
        multiply(team, s, s.d[n], t.values, t.gradients, row, k);
      }
      team.apart([&](int thread) { differentiate(s, t, head, first, row, n, thread); });
      team.converge();
    }
    // d now holds the probabilities that dropout leaves, score the scores' gradients.
    team.apart([&](int thread) { s.a[thread] = packed(s.d[0][thread], s.d[1][thread]); });
    add(team, s, s.d_value, t.gradients, j);
    team.apart([&](int thread) { s.a[thread] = packed(s.score[0][thread], s.score[1][thread]); });
    add(team, s, s.d_key, t.queries, j);
  }

  /// A warp's 16 rows of `left` times rows [row, row + 8) of `right`.
  template <typename Team, typename To, typename Rows>
  THAW_DEVICE static void multiply(Team& team, State<Team>& s, To& to, const Rows& left,
                                   const Rows& right, int row, int k) {
    team.apart([&](int thread) {
      s.a[thread] = left.as_a(thread / 32 * 16, k * 16, thread);
      s.b[thread] = right.rows_as_b(row, k * 16, thread);
    });
    team.multiply_add(to, s.a, s.b);
  }
  /// `s.a` times rows [16 j, 16 j + 16) of `right`.
  template <typename Team, typename To, typename Rows>
  THAW_DEVICE static void add(Team& team, State<Team>& s, To& to, const Rows& right, int j) {
    THAW_UNROLL
    for (int n = 0; n < D / 8; ++n) {
      team.apart([&](int thread) { s.b[thread] = right.as_b(j * 16, n * 8, thread); });
      team.multiply_add(to[n], s.a, s.b);
    }
  }

  template <typename Team>
  THAW_DEVICE void differentiate(State<Team>& s, const Tiles<Team>& t, const HeadStretch& head,
                                 std::int64_t first, int row, int n, int thread) const {
    THAW_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int mine = thread / 32 * 16 + fragment_row(thread) + i / 2 * 8;
      const int column = row + fragment_column(thread) + i % 2;
      const std::int64_t key = head.first + mine, query = first + column;
      const bool seen =
          query < head.length && key < head.length && (!operands.of.causal || key <= query);
      float factor = 1;
      if (operands.of.drops && seen) {
        factor = t.mask.keeps(column, mine, t.mask.shift_of(head, query, head.first))
                     ? static_cast<float>(operands.of.key.scale)
                     : 0.0F;
      }
      const ScoreGradient result =
          score_gradient(scale_of<D>(operands.of), s.score[n][thread].at[i], s.d[n][thread].at[i],
                         t.log_sums.get(column), t.deltas.get(column), factor, seen);
      s.d[n][thread].at[i] = result.kept;
      s.score[n][thread].at[i] = result.score;
    }
  }
};

}  // namespace thaw::gpu
