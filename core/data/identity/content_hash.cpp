#include "core/data/identity/content_hash.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>

namespace thaw {
namespace {

/// A piece has at least so many bytes, and ends with a sample.
constexpr std::int64_t kPieceBytes = 4 << 20;

/// The pieces [first, last), which several threads take one after another.
class PieceHashing {
 public:
  PieceHashing(const Split& split, std::span<const std::int64_t> pieces, std::int64_t first,
               std::int64_t last)
      : split_(split),
        pieces_(pieces),
        first_(first),
        next_(first),
        last_(last),
        hashes_(static_cast<std::size_t>(last - first)) {}

  /// Takes pieces until none is left. `told` is called with the bytes that are done in all.
  template <class Told>
  void work(const Told& told) {
    try {
      for (std::int64_t piece = next_++; piece < last_ && !failed_; piece = next_++) {
        hash(piece);
        told(done_.load());
      }
    } catch (...) {
      failed_ = true;
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
  }

  std::vector<Fingerprint> take() {
    if (failure_) std::rethrow_exception(failure_);
    return std::move(hashes_);
  }

 private:
  void hash(std::int64_t piece) {
    const auto index = static_cast<std::size_t>(piece);
    thread_local std::vector<std::int64_t> samples;
    thread_local std::vector<std::byte> bytes;
    samples.resize(static_cast<std::size_t>(pieces_[index + 1] - pieces_[index]));
    std::iota(samples.begin(), samples.end(), pieces_[index]);
    const std::int64_t size = content_bytes(split_, pieces_[index], pieces_[index + 1]);
    if (std::ssize(bytes) < size) bytes.resize(static_cast<std::size_t>(size));
    split_.read(samples, bytes.data());
    hashes_[static_cast<std::size_t>(piece - first_)] =
        fingerprint(bytes.data(), static_cast<std::size_t>(size));
    done_ += size;
  }

  const Split& split_;
  std::span<const std::int64_t> pieces_;
  std::int64_t first_;
  std::atomic<std::int64_t> next_;
  std::int64_t last_;
  std::vector<Fingerprint> hashes_;
  std::atomic<std::int64_t> done_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
  std::exception_ptr failure_;
};

}  // namespace

std::int64_t content_bytes(const Split& split, std::int64_t first, std::int64_t last) {
  const SampleFormat& format = split.format();
  const std::span<const std::int64_t> offsets = split.offsets();
  const std::int64_t elements = offsets.empty() ? (last - first) * format.image_elements()
                                                : offsets[static_cast<std::size_t>(last)] -
                                                      offsets[static_cast<std::size_t>(first)];
  return elements * format.element_bytes();
}

std::vector<std::int64_t> content_pieces(const Split& split) {
  std::vector<std::int64_t> pieces;
  const std::int64_t size = split.size();
  const std::span<const std::int64_t> offsets = split.offsets();
  const std::int64_t element_bytes = split.format().element_bytes();
  for (std::int64_t first = 0; first < size;) {
    pieces.push_back(first);
    if (offsets.empty()) {
      const std::int64_t image_bytes = split.format().image_elements() * element_bytes;
      first += std::max<std::int64_t>(1, kPieceBytes / std::max<std::int64_t>(1, image_bytes));
      continue;
    }
    const std::int64_t wanted =
        offsets[static_cast<std::size_t>(first)] + kPieceBytes / element_bytes;
    first =
        std::lower_bound(offsets.begin() + first + 1, offsets.end() - 1, wanted) - offsets.begin();
  }
  pieces.push_back(size);
  return pieces;
}

std::vector<Fingerprint> hash_pieces(const Split& split, std::span<const std::int64_t> pieces,
                                     std::int64_t first, std::int64_t last, int threads,
                                     const DecodeProgress& progress) {
  PieceHashing hashing(split, pieces, first, last);
  const std::int64_t total = content_bytes(split, pieces[static_cast<std::size_t>(first)],
                                           pieces[static_cast<std::size_t>(last)]);
  const std::int64_t most =
      split.blocks().empty() ? std::min<std::int64_t>(threads, last - first) : 1;
  std::vector<std::jthread> helpers;
  for (std::int64_t i = 1; i < most; ++i) {
    helpers.emplace_back([&] { hashing.work([](std::int64_t) {}); });
  }
  hashing.work([&](std::int64_t done) {
    if (progress) progress(split.name(), std::min(done, total - 1), total);
  });
  helpers.clear();
  std::vector<Fingerprint> hashes = hashing.take();
  if (progress) progress(split.name(), total, total);
  return hashes;
}

Fingerprint content_fingerprint(std::span<const Fingerprint> pieces) {
  RunningHash hash;
  for (const Fingerprint& piece : pieces) {
    hash.add(&piece.low, sizeof(piece.low));
    hash.add(&piece.high, sizeof(piece.high));
  }
  return hash.value();
}

}  // namespace thaw
