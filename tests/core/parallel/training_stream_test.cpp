// On a GPU, whose streams there are none of here: tests/null_gpu, which tells of uses in no order.
#include "core/parallel/training_stream.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

namespace thaw {
namespace {

TEST(TrainingStream, IsNoneOfTensorsOnTheHost) {
  EXPECT_FALSE(stream_of({}).has_value());
  EXPECT_FALSE(stream_of({at::zeros({2}), at::zeros({3})}).has_value());
}

}  // namespace
}  // namespace thaw
