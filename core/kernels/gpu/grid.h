#pragma once

#include <cstdint>

// Note [Kernels as shared source]
// A kernel is a struct: its operands, how many items of work it has, and a body, a template over
// what runs it. nvcc compiles the body for a GPU (DeviceTeam, here); g++ compiles the same text for
// tests, which run it over an emulated grid (tests/support/emulated_grid.h) and compare the result
// with float64. So a kernel's arithmetic is proven where no GPU is.
//
// What makes both possible is how a body is written. Its threads form teams: a warp, or more warps
// of one block. A team takes items first(), first() + step(), … What its threads do stands in
// `team.each([&](int thread) {…})`, at whose end all wait for each other, so a barrier that some
// threads miss cannot be written. A thread's own variables that outlive one `each` are
// `Team::Private`, memory of the team is `team.shared`, sums over a team are `team.sum`, products
// of a warp `team.multiply_add`; all of them are called by the team as a whole, between the `each`.
//
// Operands are In and Out of a memory `M`: DeviceMemory's are pointers; those of the tests see
// every access, and find one outside, an element that is not written or written twice, one read
// that nobody wrote, and two threads that touch an element in no defined order.

#if defined(__CUDACC__)
#define THAW_DEVICE __device__ __forceinline__
#define THAW_HOST_AND_DEVICE __host__ __device__
#define THAW_UNROLL _Pragma("unroll")
#else
#define THAW_DEVICE inline
#define THAW_HOST_AND_DEVICE
#define THAW_UNROLL
#endif

namespace thaw::gpu {

/// N neighbours that are loaded and stored at once, where their address allows.
template <typename E, int N>
struct alignas(N * sizeof(E) < 16 ? N * sizeof(E) : 16) Pack {
  E at[N];
};

/// Operands in the memory of the device that runs the kernel.
struct DeviceMemory {
  /// What a kernel reads.
  template <typename E>
  struct In {
    const E* data = nullptr;

    THAW_HOST_AND_DEVICE bool there() const { return data != nullptr; }
    THAW_DEVICE E operator[](std::int64_t i) const { return data[i]; }
    /// Elements i to i + N - 1; i is a multiple of N.
    template <int N>
    THAW_DEVICE Pack<E, N> pack(std::int64_t i) const {
      return *reinterpret_cast<const Pack<E, N>*>(data + i);
    }
  };

  /// What a kernel writes, each element once.
  template <typename E>
  struct Out {
    E* data = nullptr;

    THAW_HOST_AND_DEVICE bool there() const { return data != nullptr; }
    THAW_DEVICE void set(std::int64_t i, E value) const { data[i] = value; }
    template <int N>
    THAW_DEVICE void set_pack(std::int64_t i, const Pack<E, N>& values) const {
      *reinterpret_cast<Pack<E, N>*>(data + i) = values;
    }
  };
};

/// Bytes that `count` elements take of a team's memory.
template <typename T>
THAW_HOST_AND_DEVICE constexpr std::int64_t shared_room(std::int64_t count) {
  return (count * static_cast<std::int64_t>(sizeof(T)) + 15) / 16 * 16;
}

#if defined(__CUDACC__)

/// `Threads` threads of a block that work together: one warp, or whole warps that are the block.
template <int Threads>
class DeviceTeam {
 public:
  static constexpr int kThreads = Threads;
  static_assert(Threads % 32 == 0 && Threads <= 1024);

  /// A variable of each thread.
  template <typename T>
  struct Private {
    T value;
    __device__ T& operator[](int) { return value; }
    __device__ const T& operator[](int) const { return value; }
  };

  /// Memory of the team.
  template <typename T>
  struct Shared {
    T* data;
    __device__ T get(int i) const { return data[i]; }
    __device__ void set(int i, T value) const { data[i] = value; }
    template <int N>
    __device__ Pack<T, N> pack(int i) const {
      return *reinterpret_cast<const Pack<T, N>*>(data + i);
    }
    template <int N>
    __device__ void set_pack(int i, const Pack<T, N>& values) const {
      *reinterpret_cast<Pack<T, N>*>(data + i) = values;
    }
  };

  /// `memory`: of this team, as much as the kernel says.
  __device__ explicit DeviceTeam(unsigned char* memory) : memory_(memory) {}

  __device__ std::int64_t first() const {
    return std::int64_t{blockIdx.x} * (blockDim.x / Threads) + threadIdx.x / Threads;
  }
  __device__ std::int64_t step() const { return std::int64_t{gridDim.x} * (blockDim.x / Threads); }

  template <typename Body>
  __device__ void each(const Body& body) const {
    apart(body);
    wait();
  }
  /// Without the wait: for what touches nothing that another thread writes before the next one.
  template <typename Body>
  __device__ void apart(const Body& body) const {
    body(static_cast<int>(threadIdx.x % Threads));
  }
  __device__ static void wait() {
    if constexpr (Threads == 32) {
      __syncwarp();
    } else {
      __syncthreads();
    }
  }

  /// `count` elements, after those that were asked for before; see shared_room.
  template <typename T>
  __device__ Shared<T> shared(std::int64_t count) {
    T* const result = reinterpret_cast<T*>(memory_);
    memory_ += shared_room<T>(count);
    return {result};
  }

  /// Brings each warp's threads together again where their ways may have parted.
  __device__ static void converge() { __syncwarp(); }

  /// The sum over the team's threads, for all of them, in an order that is always the same.
  template <typename T>
  __device__ T sum(const Private<T>& values) const {
    T total = values.value;
    for (int offset = 16; offset > 0; offset /= 2) {
      total += __shfl_xor_sync(0xFFFFFFFFu, total, offset);
    }
    if constexpr (Threads > 32) {
      __shared__ T of_warps[Threads / 32];
      if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = total;
      wait();
      total = of_warps[0];
      for (int warp = 1; warp < Threads / 32; ++warp) total += of_warps[warp];
      wait();
    }
    return total;
  }
  /// The sum, or the largest, of each `Group` neighbouring threads, for all of them.
  template <int Group, typename T>
  __device__ void sum_groups(Private<T>& values) const {
    for (int offset = Group / 2; offset > 0; offset /= 2) {
      values.value += __shfl_xor_sync(0xFFFFFFFFu, values.value, offset);
    }
  }
  template <int Group, typename T>
  __device__ void largest_of_groups(Private<T>& values) const {
    for (int offset = Group / 2; offset > 0; offset /= 2) {
      const T other = __shfl_xor_sync(0xFFFFFFFFu, values.value, offset);
      values.value = other > values.value ? other : values.value;
    }
  }

  /// c += a b, of each warp its own (Note [Fragments]).
  template <typename C, typename A, typename B>
  __device__ void multiply_add(Private<C>& c, const Private<A>& a, const Private<B>& b) const {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c.value.at[0]), "+f"(c.value.at[1]), "+f"(c.value.at[2]), "+f"(c.value.at[3])
        : "r"(a.value.at[0]), "r"(a.value.at[1]), "r"(a.value.at[2]), "r"(a.value.at[3]),
          "r"(b.value.at[0]), "r"(b.value.at[1]));
  }

 private:
  unsigned char* memory_;
};

#endif

}  // namespace thaw::gpu
