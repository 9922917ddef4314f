// The emulated grid itself: kernels with planted faults are found out, and one without passes.

#include "tests/support/emulated_grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/kernels/gpu/launch.h"

namespace thaw {
namespace {

enum class Plant {
  kNothing,
  kOneTooFar,        // writes behind the end
  kLastLeftOut,      // the last element of an odd number
  kUnaligned,        // a pack where none may lie
  kNoBarrier,        // reads what another thread writes
  kSharedTooSmall,   // asks for less than it takes
  kSharedUnwritten,  // reads shared memory that nobody wrote
  kOrderMatters,     // adds in the order in which threads come
  kTeamsMatter,      // the result tells how many teams there were
  kAcrossTeams,      // two teams write one element
};

/// Twice the input, by way of shared memory; a team takes 32 elements.
template <typename M>
struct Doubled {
  static constexpr int kThreads = 32;
  typename M::template In<float> input;
  typename M::template Out<float> output;
  std::int64_t count = 0;
  Plant plant = Plant::kNothing;
  mutable float arrivals = 0;  // what a GPU's atomic addition would be

  std::int64_t items() const { return (count + 31) / 32; }
  std::int64_t shared_bytes() const {
    return gpu::shared_room<float>(plant == Plant::kSharedTooSmall ? 28 : 32);
  }

  template <typename Team>
  void operator()(Team& team) const {
    const auto room = team.template shared<float>(32);
    for (std::int64_t item = team.first(); item < items(); item += team.step()) {
      const auto index = [&](int thread) { return item * 32 + thread; };
      const auto fill = [&](int thread) {
        if (plant == Plant::kSharedUnwritten && thread == 5) return;
        room.set(thread, index(thread) < count ? input[index(thread)] * 2 : 0.0F);
      };
      const auto write = [&](int thread) {
        std::int64_t i = index(thread);
        if (plant == Plant::kLastLeftOut ? i >= count - 1 : i >= count) {
          if (plant != Plant::kOneTooFar || i != count) return;
        }
        if (plant == Plant::kUnaligned && i == 2) {
          output.template set_pack<4>(i - 1, {});
          return;
        }
        float value = room.get(31 - (31 - thread));
        if (plant == Plant::kOrderMatters) value += (arrivals = arrivals * 0.7F + value);
        if (plant == Plant::kTeamsMatter) value += static_cast<float>(team.step());
        if (plant == Plant::kAcrossTeams && i >= 32) i -= 32;
        output.set(i, value);
      };
      if (plant == Plant::kNoBarrier) {
        team.each([&](int thread) {
          fill(thread);
          room.get(31 - thread);
          write(thread);
        });
      } else {
        team.each(fill);
        team.each(write);
      }
    }
  }
};

std::string fault_of(Plant plant) {
  emulated::Grid grid;
  Doubled<emulated::Memory> kernel;
  kernel.count = 77;
  kernel.plant = plant;
  kernel.input = grid.input("input", std::vector<float>(77, 1.5F));
  kernel.output = grid.output<float>("output", 77);
  try {
    grid.run(kernel);
  } catch (const emulated::Fault& fault) {
    return fault.what();
  }
  EXPECT_EQ(kernel.output.array->now(), std::vector<float>(77, 3.0F));
  return "";
}

TEST(EmulatedGrid, PassesAKernelWithoutFault) { EXPECT_EQ(fault_of(Plant::kNothing), ""); }

TEST(EmulatedGrid, FindsEveryPlantedFault) {
  using testing::HasSubstr;
  EXPECT_THAT(fault_of(Plant::kOneTooFar), HasSubstr("output[77] is outside of 77 elements"));
  EXPECT_THAT(fault_of(Plant::kLastLeftOut), HasSubstr("output[76] is not written"));
  EXPECT_THAT(fault_of(Plant::kUnaligned), HasSubstr("not aligned"));
  EXPECT_THAT(fault_of(Plant::kNoBarrier), HasSubstr("shared"));
  EXPECT_THAT(fault_of(Plant::kSharedTooSmall), HasSubstr("16 bytes more"));
  EXPECT_THAT(fault_of(Plant::kSharedUnwritten), HasSubstr("shared[5] is read"));
  EXPECT_THAT(fault_of(Plant::kOrderMatters), HasSubstr("output depends on the order"));
  EXPECT_THAT(fault_of(Plant::kTeamsMatter), HasSubstr("output depends on the order"));
  EXPECT_THAT(fault_of(Plant::kAcrossTeams), HasSubstr("no defined order"));
}

TEST(EmulatedGrid, MarksTellWhoRaces) {
  using emulated::actor;
  emulated::Mark mark;
  actor = {0, 1, 0};
  EXPECT_FALSE(mark.read());
  actor = {0, 2, 0};
  EXPECT_FALSE(mark.read());
  actor = {0, 2, 0};
  EXPECT_TRUE(mark.write());  // thread 1 reads in this phase too
  actor = {0, 2, 1};
  EXPECT_FALSE(mark.write());  // behind a barrier
  actor = {0, 3, 1};
  EXPECT_TRUE(mark.read());
  actor = {0, 3, 2};
  EXPECT_FALSE(mark.read());
  actor = {1, 3, 2};
  EXPECT_TRUE(mark.write());  // another team, at whatever time
}

TEST(EmulatedGrid, SumsAsManyThreadsAsThereAre) {
  emulated::Team<64> team(0, 1, 0, nullptr);
  emulated::Team<64>::Private<double> values;
  team.each([&](int thread) { values[thread] = thread; });
  EXPECT_EQ(team.sum(values), 63 * 64 / 2);
}

TEST(LaunchShape, FitsTheMemoryOfABlock) {
  EXPECT_EQ(gpu::shape_of(9, 32, 1024).teams_a_block, 4);
  EXPECT_EQ(gpu::shape_of(9, 32, 1024).blocks, 3);
  EXPECT_EQ(gpu::shape_of(9, 32, 20000).teams_a_block, 2);
  EXPECT_EQ(gpu::shape_of(9, 32, 90000).teams_a_block, 1);
  EXPECT_EQ(gpu::shape_of(9, 256, 0).blocks, 9);
  EXPECT_EQ(gpu::shape_of(0, 32, 0).blocks, 0);
  EXPECT_EQ(gpu::shape_of(std::int64_t{1} << 40, 32, 0).blocks, 1 << 20);
}

}  // namespace
}  // namespace thaw
