#include "core/kernels/gpu/attention/flash_attention.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>

namespace thaw {
namespace {

TEST(FlashAttentionServes, ByTheGpusCapabilityAndTheSizeOfHeads) {
  for (const std::int64_t size : {8, 64, 192}) {
    for (const auto& [major, minor] :
         {std::pair{8, 0}, {8, 6}, {8, 9}, {9, 0}, {10, 0}, {12, 0}, {12, 1}}) {
      EXPECT_TRUE(gpu::has_flash_for(major, minor, size)) << major << "." << minor << ", " << size;
    }
    EXPECT_FALSE(gpu::has_flash_for(7, 5, size));
  }
  for (const std::int64_t size : {200, 256}) {
    for (const auto& [major, minor] : {std::pair{8, 0}, {9, 0}, {10, 3}}) {
      EXPECT_TRUE(gpu::has_flash_for(major, minor, size)) << major << "." << minor << ", " << size;
    }
    for (const auto& [major, minor] : {std::pair{8, 6}, {8, 9}, {12, 0}, {12, 1}}) {
      EXPECT_FALSE(gpu::has_flash_for(major, minor, size)) << major << "." << minor << ", " << size;
    }
  }
  for (const std::int64_t size : {20, 132, 264}) EXPECT_FALSE(gpu::has_flash_for(9, 0, size));
}

}  // namespace
}  // namespace thaw
