#include "dist/reduction/sharding/update_sharing.h"

#include <thread>
#include <utility>

#include "core/base/stopwatch.h"

namespace thaw {

UpdateSharing::UpdateSharing(const BucketMap& map, SlicedParameters& slices, SliceMemory& memory,
                             StepSenders& senders)
    : map_(map),
      slices_(slices),
      memory_(memory),
      senders_(senders),
      under_way_(map.buckets().size(), 0) {}

bool UpdateSharing::start() {
  const Stopwatch watch;
  bool any = false;
  const std::thread::id self = std::this_thread::get_id();
  for (std::size_t left = map_.buckets().size(); left > 0; --left) {
    const std::size_t bucket = left - 1;
    if (map_.buckets()[bucket].slots.empty()) continue;  // holds flags alone
    under_way_[bucket] = senders_.call([this, bucket, self](Communicator& communicator) {
      share(bucket, /*is_last=*/bucket == 0, communicator, std::this_thread::get_id() != self);
    });
    any = any || under_way_[bucket] > 0;
  }
  seconds_ = watch.seconds();
  return any;
}

void UpdateSharing::share(std::size_t bucket, bool is_last, Communicator& communicator,
                          bool beside) {
  const at::Tensor slab = slices_.needs_slab(bucket) ? memory_.slab(bucket) : at::Tensor();
  slices_.share(bucket, slab, communicator, beside);
  memory_.let_go(bucket);
  if (is_last) memory_.trim();
}

void UpdateSharing::wait_for_bucket(std::size_t bucket) {
  senders_.wait_for(std::exchange(under_way_[bucket], 0));
}

void UpdateSharing::wait_for(std::span<const std::size_t> parameters) {
  for (const std::size_t parameter : parameters) wait_for_bucket(map_.bucket_of(parameter));
}

void UpdateSharing::wait_for_all() {
  for (std::size_t bucket = 0; bucket < under_way_.size(); ++bucket) wait_for_bucket(bucket);
}

}  // namespace thaw
