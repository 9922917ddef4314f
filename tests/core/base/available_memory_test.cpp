#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/base/system.h"
#include "tests/support/temporary_folder.h"

namespace thaw {
namespace {

void put(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << text;
}

TEST(AvailableMemory, IsWhatTheKernelSays) {
  const TemporaryFolder root;
  put(root / "proc/meminfo", "MemTotal: 4000 kB\nMemAvailable:    3000 kB\n");
  EXPECT_EQ(available_memory(root.path()), 3000 * 1024);
  EXPECT_GT(available_memory(), 1 << 20);  // of this machine
}

TEST(AvailableMemory, StaysBelowTheLimitOfTheControlGroup) {
  const TemporaryFolder root;
  put(root / "proc/meminfo", "MemAvailable: 3000000 kB\n");
  put(root / "proc/self/cgroup", "0::/slurm/job\n");
  const std::string job = root / "sys/fs/cgroup/slurm/job";
  put(job + "/memory.max", "max\n");
  put(job + "/memory.current", "500000\n");
  put(root / "sys/fs/cgroup/slurm/memory.max", "1000000\n");
  put(root / "sys/fs/cgroup/slurm/memory.current", "800000\n");
  put(root / "sys/fs/cgroup/slurm/memory.stat", "anon 1\ninactive_file 300000\n");
  EXPECT_EQ(available_memory(root.path()), 500000);  // the page cache is given back
  put(job + "/memory.max", "600000\n");
  EXPECT_EQ(available_memory(root.path()), 100000);
}

TEST(AvailableMemory, KnowsTheOlderControlGroups) {
  const TemporaryFolder root;
  put(root / "proc/meminfo", "MemAvailable: 3000000 kB\n");
  put(root / "proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a\n");
  put(root / "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000\n");
  put(root / "sys/fs/cgroup/memory/a/memory.usage_in_bytes", "1500\n");
  put(root / "sys/fs/cgroup/memory/a/memory.stat", "total_inactive_file 700\n");
  EXPECT_EQ(available_memory(root.path()), 200);
}

TEST(AvailableMemory, IsToldInWords) {
  EXPECT_EQ(memory_text(1023), "1023 bytes");
  EXPECT_EQ(memory_text(1536), "1.5 KiB");
  EXPECT_EQ(memory_text(std::int64_t{300} << 30), "300 GiB");
}

}  // namespace
}  // namespace thaw
