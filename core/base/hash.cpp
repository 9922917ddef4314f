#include "core/base/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <new>

namespace thaw {

std::string Fingerprint::hex() const { return fmt::format("{:016x}{:016x}", high, low); }

Fingerprint fingerprint(const void* bytes, std::size_t size) {
  const XXH128_hash_t hash = XXH3_128bits(bytes, size);
  return {hash.low64, hash.high64};
}

struct RunningHash::State {
  XXH3_state_t* hash = XXH3_createState();
  State() {
    if (hash == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(hash);
  }
  ~State() { XXH3_freeState(hash); }
};

RunningHash::RunningHash() : state_(std::make_unique<State>()) {}

RunningHash::~RunningHash() = default;

void RunningHash::add(const void* bytes, std::size_t size) {
  XXH3_128bits_update(state_->hash, bytes, size);
}

Fingerprint RunningHash::value() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->hash);
  return {hash.low64, hash.high64};
}

}  // namespace thaw
