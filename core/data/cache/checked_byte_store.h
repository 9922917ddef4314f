#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/hash.h"
#include "core/data/hdf5/byte_store.h"

namespace thaw {

// Note [Decoded data is checked]
// A file of decoded data lives for weeks in a folder that nothing else looks at; a bad disk or
// another program may change it, and one pixel is not missed. So it ends with a fingerprint of each
// of its pieces, and a piece is read whole and compared when a process first touches it. From then
// on a read costs a bit that is looked at. A piece that is not as it was written is decoded anew
// from the source, and put into the file. Where the file cannot be written to (another user's, a
// full or read-only disk, gone by now) it is kept in memory, so many of them; further ones are
// decoded each time that they are read: slower, and right.

/// Bytes of a piece of decoded data.
inline constexpr std::int64_t kCheckedPieceBytes = 1 << 20;

/// Pieces that a store keeps in memory because they could be put into no file.
inline constexpr std::size_t kMostKeptPieces = 64;

/// Pieces that so many bytes have.
inline std::int64_t checked_pieces(std::int64_t bytes) {
  return (bytes + kCheckedPieceBytes - 1) / kCheckedPieceBytes;
}

/// Fingerprints of the pieces of `bytes` bytes at `memory`, which are those of the file at `path`;
/// `told` is called after each, with the number of bytes so far. May be empty.
std::vector<Fingerprint> piece_fingerprints(const std::byte* memory, std::int64_t bytes,
                                            const std::string& path,
                                            const std::function<void(std::int64_t)>& told);

/// Decoded data in a file: see Note [Decoded data is checked].
class CheckedByteStore final : public ByteStore {
 public:
  /// Makes the bytes [offset, offset + size) of the data from their source. Throws Error.
  using DecodeAgain = std::function<void(std::int64_t offset, std::int64_t size, std::byte*)>;

  /// `bytes` of data at `address` of `file`, with the fingerprints of their pieces.
  CheckedByteStore(std::shared_ptr<const ReadableFile> file, std::int64_t address,
                   std::int64_t bytes, std::vector<Fingerprint> checks, DecodeAgain decode_again,
                   std::string description);

  void read(std::int64_t offset, std::int64_t size, std::byte* memory) const override;
  std::string describe() const override { return description_; }

 private:
  bool is_good(std::int64_t piece) const;
  void check(std::int64_t piece) const;
  void decode(std::int64_t piece, std::vector<std::byte>& bytes) const;
  void mend(std::int64_t piece, std::vector<std::byte>& bytes) const;
  std::string write_back(std::int64_t offset, const std::vector<std::byte>& bytes) const;
  void put_in(std::int64_t piece, std::int64_t offset, std::int64_t size, std::byte* memory) const;

  std::shared_ptr<const ReadableFile> file_;
  std::int64_t address_;
  std::int64_t bytes_;
  std::vector<Fingerprint> checks_;
  DecodeAgain decode_again_;
  std::string description_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> good_;  ///< a bit a piece
  mutable std::atomic<bool> any_outside_{false};        ///< whether `outside_` holds one
  mutable std::mutex mutex_;
  /// Pieces that are right in no file: their bytes, or none where too many of them are kept.
  mutable std::map<std::int64_t, std::vector<std::byte>> outside_;
};

}  // namespace thaw
