#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/parallel/communicator.h"
#include "core/parallel/slices.h"

namespace thaw::contract {

/// What every Communicator must do, as functions that each rank calls: the same expectations for
/// ranks as threads, as processes under mpirun, and for a single rank.

inline Fingerprint bits_of(const at::Tensor& tensor) {
  return fingerprint(tensor.const_data_ptr(), tensor.nbytes());
}

/// Fails on this rank where ranks hold different bits.
inline void expect_same_bits(Communicator& communicator, const at::Tensor& tensor) {
  const std::string mine = bits_of(tensor).hex();
  for (const std::string& other : communicator.all_gather(mine)) EXPECT_EQ(other, mine);
}

inline void sums_every_type(Communicator& communicator) {
  const double ranks = communicator.size();
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16, at::kLong}) {
    for (const std::int64_t length : {0, 1, 7, 1000}) {
      at::Tensor tensor = at::full({length}, communicator.rank() + 1, at::dtype(type));
      communicator.all_reduce(tensor);
      const at::Tensor expected = at::full({length}, ranks * (ranks + 1) / 2, at::dtype(type));
      EXPECT_TRUE(tensor.equal(expected)) << c10::toString(type) << " [" << length << "]";
    }
  }
}

inline void sums_give_equal_bits(Communicator& communicator) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    // Longer than any piece in which an implementation may work.
    at::Tensor tensor = at::randn({1'100'001}, at::dtype(at::kFloat)).to(type);
    at::Tensor twin = tensor.clone();
    at::Tensor started = tensor.clone();
    communicator.all_reduce(tensor);
    expect_same_bits(communicator, tensor);
    communicator.all_reduce(twin);
    EXPECT_EQ(bits_of(twin), bits_of(tensor)) << "not the same bits again";

    const auto pending = communicator.start_all_reduce(started);
    pending->wait();
    EXPECT_TRUE(pending->poll());
    expect_same_bits(communicator, started);
    const double tolerance = type == at::kBFloat16 ? 0.05 : 1e-5;
    EXPECT_TRUE(started.to(at::kDouble).allclose(tensor.to(at::kDouble), tolerance, tolerance));
  }
}

inline void sums_spans(Communicator& communicator) {
  std::vector<double> values = {1.0, 0.5 * communicator.rank()};
  communicator.all_reduce(values);
  const double ranks = communicator.size();
  EXPECT_EQ(values[0], ranks);
  EXPECT_EQ(values[1], ranks * (ranks - 1) / 4);
}

/// Any layout without gaps will do, and stays as it is.
inline void sums_channels_last(Communicator& communicator) {
  at::Tensor tensor = at::arange(2 * 3 * 4 * 4, at::dtype(at::kDouble))
                          .reshape({2, 3, 4, 4})
                          .contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor expected = tensor.mul(communicator.size());
  communicator.all_reduce(tensor);
  EXPECT_TRUE(tensor.equal(expected));
  EXPECT_TRUE(tensor.is_contiguous(at::MemoryFormat::ChannelsLast));
}

inline void refuses_what_it_cannot_sum(Communicator& communicator) {
  at::Tensor half = at::full({3}, 1, at::dtype(at::kHalf));
  EXPECT_THROW(communicator.all_reduce(half), RunError);
  at::Tensor gaps = at::full({4, 4}, 1.0, at::dtype(at::kFloat)).slice(1, 0, 2);
  EXPECT_THROW(communicator.all_reduce(gaps), RunError);
  at::Tensor undefined;
  EXPECT_THROW(communicator.all_reduce(undefined), RunError);
  communicator.barrier();  // and all ranks are still with each other
}

/// Cuts that leave some ranks nothing, some little, and one the rest.
inline std::vector<Cuts> ways_to_cut(std::int64_t length, int ranks) {
  std::vector<Cuts> ways = {even_cuts(length, ranks, 1), even_cuts(length, ranks, 64)};
  for (int owner = 0; owner < ranks; ++owner) {
    Cuts all_to_one(static_cast<std::size_t>(ranks) + 1, 0);
    for (std::size_t i = static_cast<std::size_t>(owner) + 1; i < all_to_one.size(); ++i) {
      all_to_one[i] = length;
    }
    ways.push_back(all_to_one);
  }
  Cuts uneven = {0};
  for (int rank = 1; rank < ranks; ++rank) {
    uneven.push_back(std::min<std::int64_t>(length, uneven.back() + rank));
  }
  uneven.push_back(length);
  ways.push_back(uneven);
  return ways;
}

/// Each rank gets its slice of the sum, whatever the lengths; longer than any piece in which an
/// implementation may work.
inline void sums_to_slices(Communicator& communicator) {
  const auto rank = static_cast<std::size_t>(communicator.rank());
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16, at::kLong}) {
    for (const std::int64_t length : {0, 1, 3, 1000, 1'100'001}) {
      const at::Tensor values = at::arange(length, at::dtype(at::kLong)).remainder(97).to(type);
      const at::Tensor whole = values.mul(communicator.size());
      for (const Cuts& cuts : ways_to_cut(length, communicator.size())) {
        at::Tensor tensor = values.clone();
        communicator.reduce_scatter(tensor, cuts);
        at::Tensor started = values.clone();
        communicator.start_reduce_scatter(started, cuts)->wait();
        for (const at::Tensor& sum : {tensor, started}) {
          EXPECT_TRUE(sum.slice(0, cuts[rank], cuts[rank + 1])
                          .equal(whole.slice(0, cuts[rank], cuts[rank + 1])))
              << c10::toString(type) << " [" << length << "]";
        }
      }
    }
  }
}

/// A sum to slices has the same bits again.
inline void slice_sums_repeat(Communicator& communicator) {
  const auto rank = static_cast<std::size_t>(communicator.rank());
  const Cuts cuts = even_cuts(300'001, communicator.size(), 64);
  const at::Tensor values = at::randn({300'001}, at::dtype(at::kFloat));
  at::Tensor one = values.clone(), two = values.clone();
  communicator.reduce_scatter(one, cuts);
  communicator.start_reduce_scatter(two, cuts)->wait();
  EXPECT_TRUE(
      one.slice(0, cuts[rank], cuts[rank + 1]).equal(two.slice(0, cuts[rank], cuts[rank + 1])));
}

inline void gathers_slices(Communicator& communicator) {
  const auto rank = static_cast<std::size_t>(communicator.rank());
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kLong, at::kByte}) {
    for (const std::int64_t length : {0, 1, 3, 1'100'001}) {
      const at::Tensor whole = at::arange(length, at::dtype(at::kLong)).remainder(97).to(type);
      for (const Cuts& cuts : ways_to_cut(length, communicator.size())) {
        at::Tensor tensor = at::full({length}, 100, at::dtype(type));
        tensor.slice(0, cuts[rank], cuts[rank + 1])
            .copy_(whole.slice(0, cuts[rank], cuts[rank + 1]));
        communicator.all_gather(tensor, cuts);
        EXPECT_TRUE(tensor.equal(whole)) << c10::toString(type) << " [" << length << "]";
      }
    }
  }
}

/// All ranks refuse alike, so they are still with each other.
inline void refuses_wrong_cuts(Communicator& communicator) {
  at::Tensor tensor = at::full({8}, 1.0, at::dtype(at::kFloat));
  Cuts short_of_the_end = even_cuts(8, communicator.size(), 1);
  short_of_the_end.back() = 7;
  const Cuts too_many(static_cast<std::size_t>(communicator.size()) + 2, 8);
  for (const Cuts& cuts : {short_of_the_end, too_many}) {
    EXPECT_THROW(communicator.reduce_scatter(tensor, cuts), RunError);
    EXPECT_THROW(communicator.start_reduce_scatter(tensor, cuts), RunError);
    EXPECT_THROW(communicator.all_gather(tensor, cuts), RunError);
  }
  communicator.barrier();
}

inline void broadcasts(Communicator& communicator) {
  for (int root = 0; root < communicator.size(); ++root) {
    at::Tensor tensor = at::full({5}, communicator.rank(), at::dtype(at::kInt));
    communicator.broadcast(tensor, root);
    EXPECT_TRUE(tensor.equal(at::full({5}, root, at::dtype(at::kInt))));

    const std::string mine(static_cast<std::size_t>(1000 * communicator.rank()), 'x');
    const std::string theirs = communicator.broadcast(mine, root);
    EXPECT_EQ(theirs, std::string(static_cast<std::size_t>(1000 * root), 'x'));
  }
  at::Tensor empty = at::empty({0}, at::dtype(at::kFloat));
  communicator.broadcast(empty, 0);
  const std::string with_zero_bytes("a\0b", 3);
  EXPECT_EQ(communicator.broadcast(with_zero_bytes, 0), with_zero_bytes);
}

inline void gathers_strings_of_any_length(Communicator& communicator) {
  const auto text_of = [](int rank) {
    return std::string(static_cast<std::size_t>(rank), 'a') + std::string(1, '\0');
  };
  const std::vector<std::string> all = communicator.all_gather(text_of(communicator.rank()));
  ASSERT_EQ(all.size(), static_cast<std::size_t>(communicator.size()));
  for (int rank = 0; rank < communicator.size(); ++rank) {
    EXPECT_EQ(all[static_cast<std::size_t>(rank)], text_of(rank));
  }
  for (const std::string& text : communicator.all_gather("")) EXPECT_EQ(text, "");
}

/// Even and odd ranks part; order follows the old ranks; the old communicator still works.
inline void splits(Communicator& communicator) {
  const int color = communicator.rank() % 2;
  const auto part = communicator.split(color);
  EXPECT_EQ(part->rank(), communicator.rank() / 2);
  EXPECT_EQ(part->size(), (communicator.size() + 1 - color) / 2);
  std::vector<double> one = {1.0 * communicator.rank()};
  part->all_reduce(one);
  double expected = 0;
  for (int rank = color; rank < communicator.size(); rank += 2) expected += rank;
  EXPECT_EQ(one[0], expected);

  const auto again = part->split(0);
  EXPECT_EQ(again->size(), part->size());
  again->barrier();
  communicator.barrier();
}

/// In order, of any type, between any two ranks; around a ring, which waits for nobody else.
inline void passes_messages(Communicator& communicator) {
  const int rank = communicator.rank();
  const int last = communicator.size() - 1;
  at::Tensor token = at::full({100'000}, 1.5, at::dtype(at::kFloat));
  at::Tensor count = at::full({1}, 0, at::dtype(at::kLong));
  if (last == 0) {
    EXPECT_THROW(communicator.send(token, 0), RunError);
    EXPECT_THROW(communicator.receive(token, 0), RunError);
    return;
  }
  at::Tensor nothing = at::empty({0}, at::dtype(at::kDouble));
  if (rank > 0) {
    communicator.receive(token, rank - 1);
    communicator.receive(nothing, rank - 1);
    communicator.receive(count, rank - 1);
    EXPECT_EQ(token[99'999].item<float>(), 1.5F * static_cast<float>(rank));
  } else {
    token.fill_(0);
  }
  token.add_(1.5);
  count.add_(1);
  const int next = rank == last ? 0 : rank + 1;
  communicator.send(token, next);
  communicator.send(nothing, next);
  communicator.send(count, next);
  if (rank == 0) {
    communicator.receive(token, last);
    communicator.receive(nothing, last);
    communicator.receive(count, last);
    EXPECT_EQ(count.item<std::int64_t>(), communicator.size());
  }
  communicator.barrier();
}

/// All but messages between two ranks, which NCCL's communicators refuse.
inline void collective_contract(Communicator& communicator) {
  sums_every_type(communicator);
  sums_give_equal_bits(communicator);
  sums_spans(communicator);
  sums_channels_last(communicator);
  refuses_what_it_cannot_sum(communicator);
  sums_to_slices(communicator);
  slice_sums_repeat(communicator);
  gathers_slices(communicator);
  refuses_wrong_cuts(communicator);
  broadcasts(communicator);
  gathers_strings_of_any_length(communicator);
  splits(communicator);
}

inline void whole_contract(Communicator& communicator) {
  collective_contract(communicator);
  passes_messages(communicator);
}

}  // namespace thaw::contract
