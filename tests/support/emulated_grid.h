#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>

#include "tests/support/emulated_memory.h"

namespace thaw::emulated {

/// What DeviceTeam is on a GPU. Threads run one after another, in an order that is drawn anew for
/// each `each`; sums are made in the order of the GPU's.
template <int Threads>
class Team {
 public:
  static constexpr int kThreads = Threads;

  template <typename T>
  class Private {
   public:
    T& operator[](int thread) { return values_[static_cast<std::size_t>(thread)]; }
    const T& operator[](int thread) const { return values_[static_cast<std::size_t>(thread)]; }

   private:
    std::vector<T> values_ = std::vector<T>(Threads, poison<T>());
  };

  template <typename T>
  struct Shared {
    std::shared_ptr<Array<T>> array;

    T get(std::int64_t i) const { return array->read(i); }
    void set(std::int64_t i, T value) const { array->write(i, value); }
    template <int N>
    gpu::Pack<T, N> pack(std::int64_t i) const {
      return array->template read_pack<N>(i);
    }
    template <int N>
    void set_pack(std::int64_t i, const gpu::Pack<T, N>& values) const {
      array->template write_pack<N>(i, values);
    }
  };

  /// `room`: bytes of shared memory that the kernel asked for.
  Team(std::int64_t team, std::int64_t teams, std::int64_t room, std::mt19937* draws)
      : team_(team), teams_(teams), room_(room), draws_(draws) {
    std::iota(order_.begin(), order_.end(), 0);
  }

  std::int64_t first() const { return team_; }
  std::int64_t step() const { return teams_; }

  template <typename Body>
  void each(const Body& body) {
    apart(body);
    wait();
  }
  template <typename Body>
  void apart(const Body& body) {
    if (draws_ != nullptr) std::shuffle(order_.begin(), order_.end(), *draws_);
    for (const int thread : order_) {
      actor = {team_, thread, phase_};
      body(thread);
    }
  }
  void wait() { ++phase_; }
  void converge() {}

  template <typename T>
  Shared<T> shared(std::int64_t count) {
    room_ -= gpu::shared_room<T>(count);
    if (room_ < 0) {
      throw Fault(fmt::format("shared memory: {} bytes more than the kernel asked for", -room_));
    }
    return {std::make_shared<Array<T>>(
        "shared", std::vector<T>(static_cast<std::size_t>(count), poison<T>()), false)};
  }

  template <typename T>
  T sum(const Private<T>& values) {
    T total{};
    for (int warp = 0; warp < Threads / 32; ++warp) {
      T lanes[32], next[32];
      for (int lane = 0; lane < 32; ++lane) lanes[lane] = values[warp * 32 + lane];
      for (int offset = 16; offset > 0; offset /= 2) {
        for (int lane = 0; lane < 32; ++lane) next[lane] = lanes[lane] + lanes[lane ^ offset];
        std::copy(next, next + 32, lanes);
      }
      total = warp == 0 ? lanes[0] : total + lanes[0];
    }
    ++phase_;
    return total;
  }
  template <int Group, typename T>
  void sum_groups(Private<T>& values) {
    reduce_groups<Group>(values, [](T a, T b) { return a + b; });
  }
  template <int Group, typename T>
  void largest_of_groups(Private<T>& values) {
    reduce_groups<Group>(values, [](T a, T b) { return a > b ? a : b; });
  }

  /// As Note [Fragments] says.
  template <typename C, typename A, typename B>
  void multiply_add(Private<C>& c, const Private<A>& a, const Private<B>& b) {
    for (int warp = 0; warp < Threads; warp += 32) {
      float left[16][16], right[16][8];
      for (int lane = 0; lane < 32; ++lane) {
        const int g = lane / 4, p = lane % 4 * 2;
        for (int i = 0; i < 8; ++i) {
          left[g + i / 2 % 2 * 8][p + i % 2 + i / 4 * 8] = half(a[warp + lane].at[i / 2], i % 2);
        }
        for (int i = 0; i < 4; ++i) {
          right[p + i % 2 + i / 2 * 8][g] = half(b[warp + lane].at[i / 2], i % 2);
        }
      }
      for (int lane = 0; lane < 32; ++lane) {
        for (int i = 0; i < 4; ++i) {
          const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
          for (int k = 0; k < 16; ++k) {
            c[warp + lane].at[i] += left[row][k] * right[k][column];
          }
        }
      }
    }
  }

 private:
  /// One of the two bfloat16 of a word, the lower first.
  static float half(std::uint32_t word, int which) {
    const std::uint32_t bits = which == 0 ? word << 16 : word & 0xFFFF0000;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  template <int Group, typename T, typename Join>
  void reduce_groups(Private<T>& values, const Join& join) {
    for (int offset = Group / 2; offset > 0; offset /= 2) {
      const Private<T> before = values;
      for (int thread = 0; thread < Threads; ++thread) {
        values[thread] = join(before[thread], before[thread ^ offset]);
      }
    }
  }

  std::int64_t team_, teams_, room_;
  std::mt19937* draws_;
  std::int64_t phase_ = 0;
  std::vector<int> order_ = std::vector<int>(Threads);
};

/// Holds a kernel's operands and runs it: several times, in other orders of teams and threads and
/// with other numbers of teams, and throws Fault unless each run writes every element of every
/// output and all write the same bits.
class Grid {
 public:
  template <typename E>
  Memory::In<E> input(const std::string& name, std::vector<E> values, std::int64_t place = 0) {
    return {add(name, std::move(values), true, place)};
  }
  template <typename E>
  Memory::Out<E> output(const std::string& name, std::int64_t count, std::int64_t place = 0) {
    return {add(name, std::vector<E>(static_cast<std::size_t>(count), poison<E>()), false, place,
                /*output=*/true)};
  }
  /// An output of which a kernel writes a part; the rest keeps `values`.
  template <typename E>
  Memory::Out<E> partial(const std::string& name, std::vector<E> values) {
    Array<E>* const array = add(name, std::move(values), true, 0);
    outputs_.push_back(std::make_unique<View<E>>(array, /*whole=*/false));
    return {array};
  }
  /// What another operand reads, written: both see one array.
  template <typename E>
  Memory::Out<E> in_place(const Memory::In<E>& input) {
    outputs_.push_back(std::make_unique<View<E>>(input.array));
    return {input.array};
  }

  template <typename Kernel>
  void run(const Kernel& kernel) {
    const std::int64_t items = kernel.items();
    std::vector<std::vector<std::vector<unsigned char>>> results;
    for (const std::int64_t teams : {items, items, (items + 1) / 2, items + 3, std::int64_t{1}}) {
      std::mt19937 draws(static_cast<unsigned>(results.size()));
      run_once(kernel, teams, results.empty() ? nullptr : &draws);
      results.emplace_back();
      for (const auto& output : outputs_) {
        output->check();
        results.back().push_back(output->bytes());
        if (results.back().back() != results.front()[results.back().size() - 1]) {
          throw Fault(output->name() + " depends on the order or the number of teams");
        }
      }
    }
  }

 private:
  struct AnyView {
    virtual ~AnyView() = default;
    virtual void begin() const = 0;
    virtual void check() const = 0;
    virtual std::vector<unsigned char> bytes() const = 0;
    virtual const std::string& name() const = 0;
  };
  template <typename E>
  struct View : AnyView {
    explicit View(Array<E>* a, bool w = true) : array(a), whole(w) {}
    void begin() const override { array->begin(); }
    void check() const override {
      if (whole) array->check_all_written();
    }
    std::vector<unsigned char> bytes() const override {
      const auto* first = reinterpret_cast<const unsigned char*>(array->now().data());
      return {first, first + array->now().size() * sizeof(E)};
    }
    const std::string& name() const override { return array->name(); }
    Array<E>* array;
    bool whole;  ///< all of it must be written
  };

  template <typename E>
  Array<E>* add(const std::string& name, std::vector<E> values, bool known, std::int64_t place,
                bool output = false) {
    auto array = std::make_shared<Array<E>>(name, std::move(values), known, place);
    Array<E>* const result = array.get();
    arrays_.push_back(std::move(array));
    all_.push_back(std::make_unique<View<E>>(result));
    if (output) outputs_.push_back(std::make_unique<View<E>>(result));
    return result;
  }

  template <typename Kernel>
  void run_once(const Kernel& kernel, std::int64_t teams, std::mt19937* draws) {
    for (const auto& array : all_) array->begin();
    std::vector<std::int64_t> order(static_cast<std::size_t>(teams));
    std::iota(order.begin(), order.end(), 0);
    if (draws != nullptr) std::shuffle(order.begin(), order.end(), *draws);
    for (const std::int64_t number : order) {
      Team<Kernel::kThreads> team(number, teams, kernel.shared_bytes(), draws);
      kernel(team);
    }
  }

  std::vector<std::shared_ptr<void>> arrays_;
  std::vector<std::unique_ptr<AnyView>> all_, outputs_;
};

}  // namespace thaw::emulated
