// What may be asked for while a graph is captured, and what breaks the capture, as CUDA has it.

#include <cuda_runtime_api.h>
#include <gmock/gmock.h>

#include <functional>
#include <thread>
#include <vector>

#include "tests/null_gpu/ledger.h"
#include "tests/null_gpu/null_gpu_fixture.h"

namespace null_gpu {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(NullGpu, AGraphIsLaunchedAsOne) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  cudaStreamBeginCapture(first_, cudaStreamCaptureModeGlobal);
  for (int i = 0; i < 5; ++i) launch(memory_, first_);
  second_follows_first();
  launch(memory_, second_);
  cudaEventRecord(event_, second_);
  cudaStreamWaitEvent(first_, event_, 0);
  EXPECT_EQ(count("launches"), 0);
  ASSERT_EQ(cudaStreamEndCapture(first_, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  cudaGraphLaunch(exec, first_);
  EXPECT_EQ(count("launches"), 1);
  EXPECT_EQ(count("kernel"), 6);
  EXPECT_THAT(faults(), IsEmpty());
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
}

TEST_F(NullGpu, CallsThatAreIllegalWhileCapturing) {
  std::vector<char> pageable(kBytes);
  void* other = nullptr;
  cudaGraph_t graph = nullptr;
  const auto refuses = [&](const std::function<cudaError_t()>& call) {
    EXPECT_EQ(cudaStreamBeginCapture(first_, cudaStreamCaptureModeGlobal), cudaSuccess);
    const cudaError_t error = call();
    EXPECT_EQ(cudaStreamEndCapture(first_, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
    cudaGetLastError();
    return error;
  };
  EXPECT_EQ(refuses([&] { return cudaStreamSynchronize(first_); }),
            cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(refuses([&] { return cudaDeviceSynchronize(); }), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(refuses([&] { return cudaMalloc(&other, kBytes); }), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(refuses([&] { return cudaMemcpy(memory_, pinned_, 1, cudaMemcpyDefault); }),
            cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(refuses([&] {
              return cudaMemcpyAsync(memory_, pageable.data(), 1, cudaMemcpyDefault, first_);
            }),
            cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(refuses([&] {
              cudaEventRecord(event_, first_);
              return cudaEventQuery(event_);
            }),
            cudaErrorCapturedEvent);
  EXPECT_EQ(refuses([&] { return cudaHostAlloc(&other, kBytes, 0); }),
            cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(refuses([&] { return cudaFreeHost(pinned_); }), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(refuses([&] { return cudaHostRegister(pageable.data(), kBytes, 0); }),
            cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(refuses([&] {
              return cudaStreamAddCallback(
                  first_, [](cudaStream_t, cudaError_t, void*) {}, nullptr, 0);
            }),
            cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(count("calls refused while capturing"), 10);
}

cudaError_t elsewhere(const std::function<cudaError_t()>& call) {
  cudaError_t error = cudaSuccess;
  std::thread([&] { error = call(); }).join();
  return error;
}

cudaError_t relaxed(const std::function<cudaError_t()>& call) {
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  cudaThreadExchangeStreamCaptureMode(&mode);
  const cudaError_t error = call();
  cudaThreadExchangeStreamCaptureMode(&mode);
  return error;
}

/// With an event from before, recorded on a stream that is not captured.
class WhileCapturing : public NullGpu {
 protected:
  void SetUp() override {
    NullGpu::SetUp();
    cudaEventRecord(event_, second_);
    cudaEventSynchronize(event_);
    Ledger::get().clear();
  }
  /// `body` is refused, and nothing can be made of the capture.
  void refused(cudaStreamCaptureMode mode, const std::function<cudaError_t()>& body) {
    EXPECT_EQ(cudaStreamBeginCapture(first_, mode), cudaSuccess);
    EXPECT_EQ(body(), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
    EXPECT_THAT(faults(), Contains(HasSubstr("while a graph is captured")));
    Ledger::get().clear();
  }
  void allowed(cudaStreamCaptureMode mode, const std::function<cudaError_t()>& body) {
    EXPECT_EQ(cudaStreamBeginCapture(first_, mode), cudaSuccess);
    EXPECT_EQ(body(), cudaSuccess);
    EXPECT_EQ(end(), cudaSuccess);
    EXPECT_THAT(faults(), IsEmpty());
  }

  const std::function<cudaError_t()> query_ = [this] { return cudaEventQuery(event_); };
  const std::function<cudaError_t()> wait_ = [this] { return cudaEventSynchronize(event_); };

 private:
  cudaError_t end() {
    cudaGraph_t graph = nullptr;
    const cudaError_t error = cudaStreamEndCapture(first_, &graph);
    cudaGetLastError();
    if (graph) cudaGraphDestroy(graph);
    return error;
  }
};

TEST_F(WhileCapturing, TheThreadAsksAboutNoEvent) {
  for (const auto mode : {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal}) {
    refused(mode, query_);
    refused(mode, wait_);
    allowed(mode, [&] { return relaxed(query_); });
  }
  allowed(cudaStreamCaptureModeRelaxed, query_);
}

TEST_F(WhileCapturing, OtherThreadsAskWhereItIsNotForAll) {
  refused(cudaStreamCaptureModeGlobal, [&] { return elsewhere(query_); });
  allowed(cudaStreamCaptureModeGlobal, [&] { return elsewhere([&] { return relaxed(query_); }); });
  allowed(cudaStreamCaptureModeThreadLocal, [&] { return elsewhere(query_); });
  allowed(cudaStreamCaptureModeThreadLocal, [&] { return elsewhere(wait_); });
}

TEST_F(WhileCapturing, AStreamThatIsNotCapturedMayBeWaitedFor) {
  allowed(cudaStreamCaptureModeGlobal, [&] { return cudaStreamQuery(second_); });
  allowed(cudaStreamCaptureModeGlobal, [&] { return cudaStreamSynchronize(second_); });
}

TEST_F(WhileCapturing, NobodyWaitsForTheDevice) {
  const auto wait = [] { return cudaDeviceSynchronize(); };
  refused(cudaStreamCaptureModeThreadLocal, [&] { return elsewhere(wait); });
  refused(cudaStreamCaptureModeRelaxed, wait);
  allowed(cudaStreamCaptureModeThreadLocal, [&] {
    return elsewhere([&] {
      cudaSetDevice(1);
      return cudaDeviceSynchronize();
    });
  });
}

TEST_F(NullGpu, TheDefaultStreamWhileABlockingOneIsCaptured) {
  cudaStream_t blocking = nullptr;
  cudaGraph_t graph = nullptr;
  cudaStreamCreate(&blocking);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  // To ask whether it is captured breaks nothing.
  cudaStreamBeginCapture(blocking, cudaStreamCaptureModeThreadLocal);
  EXPECT_EQ(cudaStreamIsCapturing(nullptr, &status), cudaErrorStreamCaptureImplicit);
  EXPECT_EQ(cudaStreamIsCapturing(first_, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusNone);
  ASSERT_EQ(cudaStreamEndCapture(blocking, &graph), cudaSuccess);
  cudaGraphDestroy(graph);
  EXPECT_THAT(faults(), IsEmpty());
  cudaEventRecord(event_, first_);
  const std::vector<std::function<cudaError_t()>> uses = {
      [&] { return cudaMemsetAsync(memory_, 0, kBytes, nullptr); },
      [&] { return cudaEventRecord(event_, nullptr); },
      [&] { return cudaStreamWaitEvent(nullptr, event_, 0); },
      [&] { return cudaStreamQuery(nullptr); },
      [&] { return cudaStreamSynchronize(nullptr); },
  };
  for (const auto& use : uses) {
    cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed);
    EXPECT_EQ(use(), cudaErrorStreamCaptureImplicit);
    EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorStreamCaptureInvalidated);
    // Beside one that is not blocking it may be used.
    cudaStreamBeginCapture(first_, cudaStreamCaptureModeRelaxed);
    EXPECT_NE(use(), cudaErrorStreamCaptureImplicit);
    ASSERT_EQ(cudaStreamEndCapture(first_, &graph), cudaSuccess);
    cudaGraphDestroy(graph);
  }
  cudaStreamDestroy(blocking);
}

TEST_F(NullGpu, AStreamThatJoinsACaptureMustBeWaitedFor) {
  cudaGraph_t graph = nullptr;
  cudaStreamBeginCapture(first_, cudaStreamCaptureModeGlobal);
  second_follows_first();
  launch(memory_, second_);
  EXPECT_EQ(cudaStreamEndCapture(first_, &graph), cudaErrorStreamCaptureUnjoined);
}

}  // namespace
}  // namespace null_gpu
