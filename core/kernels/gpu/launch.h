#pragma once

#include <cstdint>

struct CUstream_st;

namespace thaw::gpu {

/// How many teams of a kernel share a block, and how many blocks there are.
struct Shape {
  int teams_a_block = 1;
  std::int64_t blocks = 0;
};

/// As many teams as items, up to a number that no launch exceeds; several small teams a block where
/// their memory lets them. A pure function of the kernel's own figures, so that no sum's order
/// depends on the GPU.
inline Shape shape_of(std::int64_t items, int threads, std::int64_t shared_bytes) {
  constexpr std::int64_t kThreadsABlock = 128, kBytesABlock = 48 * 1024, kMostBlocks = 1 << 20;
  std::int64_t teams = threads < kThreadsABlock ? kThreadsABlock / threads : 1;
  while (teams > 1 && teams * shared_bytes > kBytesABlock) teams /= 2;
  const std::int64_t blocks = (items + teams - 1) / teams;
  return {static_cast<int>(teams), blocks < kMostBlocks ? blocks : kMostBlocks};
}

/// Queues the kernel on the stream (Note [Kernels as shared source]); nothing if it has no items.
/// Errors stay for the caller to ask CUDA for. Instantiated in the kernel's .cu.
template <typename Kernel>
void launch(const Kernel& kernel, CUstream_st* stream);

}  // namespace thaw::gpu
