#include "core/data/upload/batch_upload.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include "core/data/upload/packed_batch.h"

namespace thaw {
namespace {

at::Tensor on(at::Device device, const at::Tensor& host) {
  return host.defined() ? host.to(device, host.scalar_type(), /*non_blocking=*/true) : host;
}

}  // namespace

struct BatchUpload::State {
  State(const Batch& batch, at::Device target)
      : packed(std::make_shared<const PackedBatch>(batch, /*pinned=*/true)),
        device(target),
        arrived(target.type()) {}

  /// Makes what this thread queues from now on its current stream wait until all has arrived.
  void wait() const {
    const c10::impl::VirtualGuardImpl gpu(device.type());
    const c10::Stream current = gpu.getStream(device);
    arrived.block(current);
    // Their memory was taken on the uploading stream, which knows nothing of who reads them here.
    bytes.record_stream(current);
    if (images.defined()) images.record_stream(current);
  }

  const std::shared_ptr<const PackedBatch> packed;
  const at::Device device;
  at::Tensor bytes, images;
  c10::Event arrived;
};

BatchUpload::BatchUpload() = default;
BatchUpload::~BatchUpload() = default;

Batch BatchUpload::use() const {
  state_->wait();
  return state_->packed->view(state_->bytes, state_->images);
}

std::shared_ptr<const SizeClass> BatchUpload::size_class() const {
  return state_->packed->size_class();
}

struct BatchPlace::State {
  std::shared_ptr<const PackedBatch> packed;
  at::Tensor bytes, images;
};

BatchPlace::BatchPlace(const BatchUpload& first)
    : state_(std::make_unique<State>(State{.packed = first.state_->packed,
                                           .bytes = at::empty_like(first.state_->bytes),
                                           .images = first.state_->images.defined()
                                                         ? at::empty_like(first.state_->images)
                                                         : at::Tensor()})) {}
BatchPlace::~BatchPlace() = default;

void BatchPlace::bring(const BatchUpload& upload) {
  const BatchUpload::State& from = *upload.state_;
  TORCH_CHECK(from.bytes.sizes() == state_->bytes.sizes() &&
                  from.images.defined() == state_->images.defined(),
              "BatchPlace: a batch of ", from.bytes.numel(), " bytes in a place for ",
              state_->bytes.numel());
  from.wait();
  state_->bytes.copy_(from.bytes, /*non_blocking=*/true);
  if (from.images.defined()) state_->images.copy_(from.images, /*non_blocking=*/true);
}

Batch BatchPlace::view() const { return state_->packed->view(state_->bytes, state_->images); }

struct BatchUploader::Stream {
  at::Device device;
  c10::Stream stream;
};

BatchUploader::BatchUploader(at::Device device)
    : stream_(std::make_unique<Stream>(
          Stream{device, c10::impl::VirtualGuardImpl(device.type())
                             .getStreamFromGlobalPool(device, /*isHighPriority=*/false)})) {}
BatchUploader::~BatchUploader() = default;

std::shared_ptr<const BatchUpload> BatchUploader::start(const Batch& batch) {
  const c10::StreamGuard guard(stream_->stream);
  auto upload = std::make_shared<BatchUpload>();
  upload->state_ = std::make_unique<BatchUpload::State>(batch, stream_->device);
  BatchUpload::State& state = *upload->state_;
  state.bytes = on(state.device, state.packed->bytes());
  state.images = on(state.device, state.packed->images());
  state.arrived.record(stream_->stream);
  return upload;
}

Batch uploaded(const Batch& batch, at::Device device) {
  if (batch.inputs.device() == device) return batch;
  const PackedBatch packed(batch, /*pinned=*/device.is_cuda());
  return packed.view(on(device, packed.bytes()), on(device, packed.images()));
}

at::Tensor image_memory(at::IntArrayRef sizes, at::ScalarType type, bool pinned) {
  return at::empty(sizes, at::TensorOptions(type).pinned_memory(pinned),
                   at::MemoryFormat::ChannelsLast);
}

}  // namespace thaw
