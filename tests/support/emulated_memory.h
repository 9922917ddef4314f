#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/kernels/gpu/grid.h"

namespace thaw::emulated {

/// What a kernel did that a GPU would let pass, or would answer with anything.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A thread of the emulated grid, and how many barriers its team has passed.
struct Actor {
  std::int64_t team = -1;
  int thread = -1;
  std::int64_t phase = 0;

  /// Whether nothing orders what the two do: other teams at any time, other threads of one team
  /// between the same two barriers.
  bool races_with(const Actor& other) const {
    return team != other.team || (thread != other.thread && phase == other.phase);
  }
};

/// The one that runs; the emulated team sets it, and every access asks.
inline thread_local Actor actor;

/// Who touched an element. Both functions return somebody with whom the actor races.
class Mark {
 public:
  std::optional<Actor> read() {
    if (writer_ && writer_->races_with(actor)) return writer_;
    if (reader_ && reader_->races_with(actor)) {
      (reader_->team != actor.team ? foreign_ : other_) = reader_;
    }
    reader_ = actor;
    return std::nullopt;
  }
  std::optional<Actor> write() {
    for (const std::optional<Actor>& before : {writer_, reader_, other_, foreign_}) {
      if (before && before->races_with(actor)) return before;
    }
    writer_ = actor;
    return std::nullopt;
  }
  bool written() const { return writer_.has_value(); }

 private:
  std::optional<Actor> writer_, reader_;
  std::optional<Actor> other_;    ///< another reader of the same phase
  std::optional<Actor> foreign_;  ///< a reader of another team
};

template <typename E>
E poison() {
  E value;
  std::memset(&value, 0xFF, sizeof value);  // a NaN of floating-point types
  return value;
}

/// Elements whose every access is checked.
template <typename E>
class Array {
 public:
  /// `known`: the values mean something, else they are poison until written. `place`: elements that
  /// the first lies behind an address that any access may have.
  Array(std::string name, std::vector<E> values, bool known, std::int64_t place = 0)
      : name_(std::move(name)), values_(std::move(values)), known_(known), place_(place) {
    begin();
  }

  E read(std::int64_t i) {
    check_inside(i);
    Mark& mark = marks_[static_cast<std::size_t>(i)];
    if (!known_ && !mark.written()) {
      throw Fault(fmt::format("{} is read by {} before anybody wrote it", element(i), text(actor)));
    }
    if (const std::optional<Actor> other = mark.read()) {
      throw Fault(fmt::format("{} is read by {} and written by {}, in no defined order", element(i),
                              text(actor), text(*other)));
    }
    return now_[static_cast<std::size_t>(i)];
  }
  void write(std::int64_t i, E value) {
    check_inside(i);
    if (const std::optional<Actor> other = marks_[static_cast<std::size_t>(i)].write()) {
      throw Fault(fmt::format("{} is written by {} and touched by {}, in no defined order",
                              element(i), text(actor), text(*other)));
    }
    now_[static_cast<std::size_t>(i)] = value;
  }
  template <int N>
  gpu::Pack<E, N> read_pack(std::int64_t i) {
    check_aligned<N>(i);
    gpu::Pack<E, N> result;
    for (int k = 0; k < N; ++k) result.at[k] = read(i + k);
    return result;
  }
  template <int N>
  void write_pack(std::int64_t i, const gpu::Pack<E, N>& values) {
    check_aligned<N>(i);
    for (int k = 0; k < N; ++k) write(i + k, values.at[k]);
  }

  /// Everything as before anybody touched it.
  void begin() {
    now_ = values_;
    marks_.assign(values_.size(), Mark());
  }
  void check_all_written() const {
    for (std::size_t i = 0; i < marks_.size(); ++i) {
      if (!marks_[i].written()) {
        throw Fault(fmt::format("{} is not written", element(static_cast<std::int64_t>(i))));
      }
    }
  }
  const std::vector<E>& now() const { return now_; }
  const std::string& name() const { return name_; }

 private:
  std::string element(std::int64_t i) const { return fmt::format("{}[{}]", name_, i); }
  static std::string text(const Actor& a) {
    return fmt::format("thread {} of team {}", a.thread, a.team);
  }
  void check_inside(std::int64_t i) const {
    if (i < 0 || i >= static_cast<std::int64_t>(values_.size())) {
      throw Fault(fmt::format("{} is outside of {} elements, for {}", element(i), values_.size(),
                              text(actor)));
    }
  }
  template <int N>
  void check_aligned(std::int64_t i) const {
    const auto address = static_cast<std::size_t>(place_ + i) * sizeof(E);
    if (address % alignof(gpu::Pack<E, N>) != 0) {
      throw Fault(fmt::format("{} and {} behind it are accessed at once, and are not aligned",
                              element(i), N - 1));
    }
  }

  std::string name_;
  std::vector<E> values_, now_;
  bool known_;
  std::int64_t place_;
  std::vector<Mark> marks_;
};

/// Operands of kernels (Note [Kernels as shared source]) whose accesses are checked.
struct Memory {
  template <typename E>
  struct In {
    Array<E>* array = nullptr;

    bool there() const { return array != nullptr; }
    E operator[](std::int64_t i) const { return array->read(i); }
    template <int N>
    gpu::Pack<E, N> pack(std::int64_t i) const {
      return array->template read_pack<N>(i);
    }
  };
  template <typename E>
  struct Out {
    Array<E>* array = nullptr;

    bool there() const { return array != nullptr; }
    void set(std::int64_t i, E value) const { array->write(i, value); }
    template <int N>
    void set_pack(std::int64_t i, const gpu::Pack<E, N>& values) const {
      array->template write_pack<N>(i, values);
    }
  };
};

}  // namespace thaw::emulated
