#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/run/process_setup.h"

namespace thaw {
namespace {

using testing::HasSubstr;

TEST(BindingRemark, NothingToSayWhereARankHasItsShare) {
  EXPECT_EQ(binding_remark(8, 8, 16, 2), "");
  EXPECT_EQ(binding_remark(8, 16, 16, 2), "");  // not bound
  EXPECT_EQ(binding_remark(1, 1, 2, 4), "");    // more ranks than cores
}

TEST(BindingRemark, OneCoreOfManyIsTold) {
  EXPECT_THAT(binding_remark(1, 1, 16, 2),
              HasSubstr("is bound to 1 of the host's 16 cores, which 2 ranks share: start with "
                        "mpirun --bind-to none"));
}

TEST(BindingRemark, MoreThreadsThanCoresAreTold) {
  EXPECT_THAT(binding_remark(4, 1, 4, 4),
              HasSubstr("computes with 4 threads but may run on 1 core only"));
}

}  // namespace
}  // namespace thaw
