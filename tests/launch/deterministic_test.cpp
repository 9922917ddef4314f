// What train.deterministic turns off on a GPU. Needs none: LibTorch and NCCL read these when they
// start to compute.
#include <ATen/Context.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "launch/run/process_setup.h"

namespace thaw {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kVariables[] = {"CUBLAS_WORKSPACE_CONFIG", "NCCL_ALGO", "NCCL_NVLS_ENABLE"};

/// Starts without the variables and as LibTorch starts; leaves both so.
class DeterministicTest : public testing::Test {
 public:
  DeterministicTest() { forget(); }
  ~DeterministicTest() override { forget(); }

 protected:
  static std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "unset" : value;
  }

  at::Context& context_ = at::globalContext();

 private:
  void forget() {
    for (const char* name : kVariables) unsetenv(name);
    context_.setDeterministicAlgorithms(false, false);
    context_.setDeterministicCuDNN(false);
    context_.setBenchmarkCuDNN(true);
  }
};

TEST_F(DeterministicTest, OnTheCpuThereIsNothingToTurnOff) {
  EXPECT_EQ(make_deterministic(/*on_gpu=*/false), "");
  EXPECT_FALSE(context_.deterministicAlgorithms());
  for (const char* name : kVariables) EXPECT_EQ(variable(name), "unset") << name;
}

TEST_F(DeterministicTest, OnAGpuItTurnsOffWhatItNames) {
  EXPECT_THAT(make_deterministic(/*on_gpu=*/true),
              AllOf(HasSubstr("cuDNN"), HasSubstr("cuBLAS"), HasSubstr("NCCL")));
  EXPECT_TRUE(context_.deterministicCuDNN());
  EXPECT_FALSE(context_.benchmarkCuDNN());
  // What has no deterministic kernel throws rather than warns.
  EXPECT_TRUE(context_.deterministicAlgorithms());
  EXPECT_FALSE(context_.deterministicAlgorithmsWarnOnly());
  EXPECT_EQ(variable("CUBLAS_WORKSPACE_CONFIG"), ":4096:8");
  EXPECT_EQ(variable("NCCL_ALGO"), "Ring");
  EXPECT_EQ(variable("NCCL_NVLS_ENABLE"), "0");
}

TEST_F(DeterministicTest, LeavesTheUsersOwnChoiceAlone) {
  setenv("NCCL_ALGO", "Tree", 1);
  make_deterministic(/*on_gpu=*/true);
  EXPECT_EQ(variable("NCCL_ALGO"), "Tree");
}

}  // namespace
}  // namespace thaw
