#include "dist/reduction/bucket_generation.h"

namespace thaw {

void BucketProgress::begin() {
  used_.assign(map_->parameters(), false);
  ready_.assign(map_->parameters(), false);
  pending_.clear();
  for (const Bucket& bucket : map_->buckets()) pending_.push_back(bucket.slots.size());
  order_.clear();
  launched_.clear();
}

void BucketProgress::mark_ready(std::size_t parameter) {
  if (ready_[parameter]) return;
  ready_[parameter] = true;
  order_.push_back(parameter);
  --pending_[map_->bucket_of(parameter)];
}

bool BucketProgress::next_is_ready() const {
  return !only_the_last_is_left() && pending_[launched_.size()] == 0;
}

std::size_t BucketProgress::launch_next() {
  launched_.push_back(launched_.size());
  return launched_.back();
}

}  // namespace thaw
