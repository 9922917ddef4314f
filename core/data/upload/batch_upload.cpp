#include "core/data/upload/batch_upload.h"

#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "core/data/upload/packed_batch.h"

namespace thaw {
namespace {

at::Tensor on(at::Device device, const at::Tensor& host) {
  return host.defined() ? host.to(device, host.scalar_type(), /*non_blocking=*/true) : host;
}

}  // namespace

struct BatchUpload::State {
  State(const Batch& batch, at::Device target)
      : packed(batch, /*pinned=*/true), device(target), arrived(target.type()) {}

  const PackedBatch packed;
  const at::Device device;
  at::Tensor bytes, images;
  c10::Event arrived;
};

BatchUpload::BatchUpload() = default;
BatchUpload::~BatchUpload() = default;

Batch BatchUpload::use() const {
  const c10::impl::VirtualGuardImpl gpu(state_->device.type());
  const c10::Stream current = gpu.getStream(state_->device);
  state_->arrived.block(current);
  // Their memory was taken on the uploading stream, which knows nothing of who reads them here.
  state_->bytes.record_stream(current);
  if (state_->images.defined()) state_->images.record_stream(current);
  return state_->packed.view(state_->bytes, state_->images);
}

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
  state.bytes = on(state.device, state.packed.bytes());
  state.images = on(state.device, state.packed.images());
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
