#pragma once

#include "core/kernels/gpu/rows/sum_rows.h"

namespace thaw::gpu {

/// words[tokens[t]] + positions[places[t]] + types[token_types[t]], [rows, width]; token types that
/// are not there are 0. A warp takes a row.
template <typename M, typename E, typename T, int N>
struct EmbedRows {
  static constexpr int kThreads = 32;

  typename M::template In<E> words, positions, types;
  typename M::template In<std::int64_t> tokens, token_types;
  typename M::template In<std::int32_t> places;
  typename M::template Out<E> output;
  std::int64_t rows = 0, width = 0;  ///< width: a multiple of N

  THAW_HOST_AND_DEVICE std::int64_t items() const { return rows; }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return 0; }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    for (std::int64_t row = team.first(); row < rows; row += team.step()) {
      const std::int64_t word = tokens[row] * width, position = places[row] * width;
      const std::int64_t type = (token_types.there() ? token_types[row] : 0) * width;
      team.each([&](int thread) {
        for (std::int64_t i = thread * N; i < width; i += Team::kThreads * N) {
          Values<T, N> x = load<T, N>(words, word + i);
          add(x, load<T, N>(positions, position + i));
          add(x, load<T, N>(types, type + i));
          store<E>(output, row * width + i, x);
        }
      });
    }
  }
};

// Note [Gradients of a table of words]
// Tokens of one word lie anywhere in a batch, and atomic additions would take an order that varies.
// So tokens are sorted by word, those of one word in their own order, and stretches of kSortedRows
// sorted tokens are added up by a warp each: a word's tokens that begin and end within a stretch
// give its row of the table; those that reach over a border leave a sum, `heads` of what the
// stretch before began, `tails` of what the next goes on with. A second kernel adds those up, from
// left to right. Frequent words cost little more than rare ones then, and bits repeat themselves.

constexpr std::int64_t kSortedRows = 32;
THAW_HOST_AND_DEVICE constexpr std::int64_t stretches_of(std::int64_t rows) {
  return (rows + kSortedRows - 1) / kSortedRows;
}

/// What both kernels know of the sorted tokens.
template <typename M>
struct SortedTokens {
  typename M::template In<std::int64_t> tokens;  ///< [rows], words in the order of the batch
  typename M::template In<std::int32_t> order;   ///< [rows], the sorted tokens' numbers
  std::int64_t rows = 0;
  std::int64_t left_out = -1;  ///< a word that gets no gradient, or -1

  THAW_DEVICE std::int64_t word(std::int64_t i) const { return tokens[order[i]]; }
  THAW_DEVICE std::int64_t end_of(std::int64_t stretch) const {
    const std::int64_t end = (stretch + 1) * kSortedRows;
    return end < rows ? end : rows;
  }
  /// Whether the stretch begins, or ends, within the tokens of a word.
  THAW_DEVICE bool goes_on_from_before(std::int64_t stretch) const {
    const std::int64_t begin = stretch * kSortedRows;
    return begin > 0 && word(begin) == word(begin - 1);
  }
  THAW_DEVICE bool goes_on_behind(std::int64_t stretch) const {
    const std::int64_t end = end_of(stretch);
    return end < rows && word(end) == word(end - 1);
  }
};

/// The first kernel; `table` [words, width] is zeros before. `heads` and `tails` are
/// [stretches_of(rows), width], and written where there is something.
template <typename M, typename E, typename T, int N>
struct AddSortedRows {
  static constexpr int kThreads = 32;
  static constexpr std::int64_t kColumns = 32 * N;

  SortedTokens<M> sorted;
  typename M::template In<E> gradient;  ///< [rows, width]
  typename M::template Out<E> table;
  typename M::template Out<T> heads, tails;
  std::int64_t width = 0;

  THAW_HOST_AND_DEVICE std::int64_t columns() const { return (width + kColumns - 1) / kColumns; }
  THAW_HOST_AND_DEVICE std::int64_t items() const { return stretches_of(sorted.rows) * columns(); }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return 0; }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const std::int64_t stretch = item / columns();
      const bool has_head = sorted.goes_on_from_before(stretch);
      const bool has_tail = sorted.goes_on_behind(stretch);
      const std::int64_t begin = stretch * kSortedRows, end = sorted.end_of(stretch);
      team.each([&](int thread) {
        const std::int64_t column = item % columns() * kColumns + thread * N;
        if (column >= width) return;
        Values<T, N> total = zeros<T, N>();
        bool head = has_head;
        for (std::int64_t i = begin; i < end; ++i) {
          add(total, load<T, N>(gradient, sorted.order[i] * width + column));
          const std::int64_t word = sorted.word(i);
          if (i + 1 < end && sorted.word(i + 1) == word) continue;
          if (head) {
            store<T>(heads, stretch * width + column, total);
          } else if (i + 1 == end && has_tail) {
            store<T>(tails, stretch * width + column, total);
          } else if (word != sorted.left_out) {
            store<E>(table, word * width + column, total);
          }
          head = false;
          total = zeros<T, N>();
        }
      });
    }
  }
};

/// The second: a stretch that leaves a tail sees to its word.
template <typename M, typename E, typename T, int N>
struct AddBorderRows {
  static constexpr int kThreads = 32;
  static constexpr std::int64_t kColumns = 32 * N;

  SortedTokens<M> sorted;
  typename M::template In<T> heads, tails;
  typename M::template Out<E> table;
  std::int64_t width = 0;

  THAW_HOST_AND_DEVICE std::int64_t columns() const { return (width + kColumns - 1) / kColumns; }
  THAW_HOST_AND_DEVICE std::int64_t items() const { return stretches_of(sorted.rows) * columns(); }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return 0; }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const std::int64_t stretch = item / columns();
      if (!begins_a_border(stretch)) continue;
      const std::int64_t word = sorted.word(sorted.end_of(stretch) - 1);
      if (word == sorted.left_out) continue;
      const std::int64_t last = sorted.end_of(stretch) - 1;
      team.each([&](int thread) {
        const std::int64_t column = item % columns() * kColumns + thread * N;
        if (column >= width) return;
        Values<T, N> total = load<T, N>(tails, stretch * width + column);
        for (std::int64_t next = stretch + 1;
             next * kSortedRows < sorted.rows && sorted.word(next * kSortedRows) == word; ++next) {
          add(total, load<T, N>(heads, next * width + column));
        }
        store<E>(table, sorted.word(last) * width + column, total);
      });
    }
  }

 private:
  /// Whether the last word of the stretch began in it and goes on behind it.
  THAW_DEVICE bool begins_a_border(std::int64_t stretch) const {
    if (!sorted.goes_on_behind(stretch)) return false;
    return sorted.word(stretch * kSortedRows) != sorted.word(sorted.end_of(stretch) - 1) ||
           !sorted.goes_on_from_before(stretch);
  }
};

/// The gradient of the positions' table, [positions, width]: row p is the sum over the samples that
/// have a token there, zeros where none has.
template <typename M, typename E, typename T, int N>
struct AddPlaceRows {
  static constexpr int kThreads = 256;
  static constexpr std::int64_t kColumns = 32 * N;

  typename M::template In<E> gradient;            ///< [rows, width]
  typename M::template In<std::int32_t> offsets;  ///< [samples + 1]
  typename M::template Out<E> table;
  std::int64_t samples = 0, positions = 0, width = 0;

  THAW_HOST_AND_DEVICE std::int64_t columns() const { return (width + kColumns - 1) / kColumns; }
  THAW_HOST_AND_DEVICE std::int64_t items() const { return positions * columns(); }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return shared_room<T>(kThreads * N); }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    const auto room = team.template shared<T>(kThreads * N);
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const std::int64_t place = item / columns();
      const auto column = [&](int lane) { return item % columns() * kColumns + lane * N; };
      sum_columns<N, T>(
          team, room, 0, samples,
          [&](std::int64_t n, int lane) {
            const std::int64_t row = offsets[n] + place;
            return row < offsets[n + 1] && column(lane) < width
                       ? load<T, N>(gradient, row * width + column(lane))
                       : zeros<T, N>();
          },
          [&](int lane, const Values<T, N>& total) {
            if (column(lane) < width) store<E>(table, place * width + column(lane), total);
          });
    }
  }
};

/// Sums over the tokens of each type: row (part, type) of `parts`, [parts_of(rows), types, width],
/// of which SumRows makes the gradient of the types' table. Types that are not there are 0.
template <typename M, typename E, typename T, int N>
struct AddTypeRows {
  static constexpr int kThreads = 32;
  static constexpr std::int64_t kColumns = 32 * N;

  typename M::template In<E> gradient;  ///< [rows, width]
  typename M::template In<std::int64_t> token_types;
  typename M::template Out<T> parts;
  std::int64_t rows = 0, types = 0, width = 0;

  THAW_HOST_AND_DEVICE std::int64_t columns() const { return (width + kColumns - 1) / kColumns; }
  THAW_HOST_AND_DEVICE std::int64_t items() const { return parts_of(rows) * types * columns(); }
  THAW_HOST_AND_DEVICE std::int64_t shared_bytes() const { return 0; }

  template <typename Team>
  THAW_DEVICE void operator()(Team& team) const {
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const std::int64_t pair = item / columns(), part = pair / types, type = pair % types;
      const std::int64_t begin = part * rows_a_part(rows);
      const std::int64_t end = begin + rows_a_part(rows) < rows ? begin + rows_a_part(rows) : rows;
      team.each([&](int thread) {
        const std::int64_t column = item % columns() * kColumns + thread * N;
        if (column >= width) return;
        Values<T, N> total = zeros<T, N>();
        for (std::int64_t row = begin; row < end; ++row) {
          if ((token_types.there() ? token_types[row] : 0) != type) continue;
          add(total, load<T, N>(gradient, row * width + column));
        }
        store<T>(parts, pair * width + column, total);
      });
    }
  }
};

}  // namespace thaw::gpu
