#include "core/record/folder_lease.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/file_use.h"
#include "core/base/stopwatch.h"
#include "core/base/system.h"
#include "core/record/lease_process.h"

namespace thaw {
namespace fs = std::filesystem;
namespace {

// Note [Leases]
// A folder's leases are files .lease.1, .lease.2, …; the highest number counts. Whoever finds
// number n free, or its holder dead, writes a file of his own under a unique name and links it to
// n + 1. Linking is atomic and fails where the name is there, also over NFS: of any number of
// takers one succeeds. Then he looks again: if there is a higher number he was late by more than a
// whole lease and withdraws. The highest number is never removed, not when it is given back either
// (its text says "free" then), so the highest only grows, and a number is never used twice for two
// leases that count. Lower ones are removed by who holds the folder.
//
// The holder renews through the descriptor of his own file. If he was suspended and another has
// taken over, that file has no say any longer; and he sees the higher number before he writes
// anything else (LeaseClaim::check).
//
// Whether a holder lives: see `judge_lease`. Nothing follows a link, and what is no plain file
// under such a name is an error.

constexpr std::size_t kLongestLease = 4096;
constexpr std::string_view kNumbered = ".lease.";
constexpr std::string_view kUnlinked = ".lease-";

/// A descriptor that is closed at the end.
class Opened {
 public:
  explicit Opened(int number) : number_(number) {}
  ~Opened() {
    if (number_ >= 0) ::close(number_);
  }
  Opened(Opened&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Opened& operator=(Opened&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  int number() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

[[noreturn]] void fail(const fs::path& path, const char* action) {
  throw RunError(fmt::format("{}: cannot {}: {}", path.string(), action, std::strerror(errno)));
}

/// By its path and anew each time: NFS then asks the server what is in it.
Opened open_folder(const fs::path& folder) {
  return Opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/// Of lease files. Throws where they cannot all be seen: what is not seen could be a holder's.
std::vector<std::string> names_in(int opened, const fs::path& folder) {
  const int again = ::openat(opened, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* listing = again < 0 ? nullptr : ::fdopendir(again);
  if (listing == nullptr) {
    if (again >= 0) ::close(again);
    fail(folder, "list it");
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(listing)) {
    if (std::string_view(entry->d_name).starts_with(kLeasePrefix)) names.push_back(entry->d_name);
  }
  const int error = errno;
  ::closedir(listing);
  errno = error;
  if (error != 0) fail(folder, "list it");
  return names;
}

std::string name_of(std::uint64_t generation) { return fmt::format("{}{}", kNumbered, generation); }

/// 0: not the name of a lease.
std::uint64_t generation_of(const std::string& name) {
  std::uint64_t generation = 0;
  if (name.starts_with(kNumbered)) {
    std::from_chars(name.data() + kNumbered.size(), name.data() + name.size(), generation);
  }
  const bool plausible = generation < std::uint64_t{1} << 62;  // one more is one more
  return plausible && name == name_of(generation) ? generation : 0;
}

/// A plain file's text; nothing where it is gone.
std::optional<std::string> read_text(int folder, const fs::path& path) {
  const Opened file(
      ::openat(folder, path.filename().c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (file.number() < 0 && errno == ENOENT) return std::nullopt;
  struct stat status {};
  if (file.number() < 0 && errno != ELOOP) fail(path, "read it");
  if (file.number() < 0 || ::fstat(file.number(), &status) != 0 || !S_ISREG(status.st_mode)) {
    throw InputError(fmt::format("{}: is no plain file, as a lease is: remove it", path.string()));
  }
  std::string text(kLongestLease, '\0');
  const ssize_t count = ::pread(file.number(), text.data(), text.size(), 0);
  if (count < 0) fail(path, "read it");
  text.resize(static_cast<std::size_t>(count));
  return text;
}

/// A folder's lease that counts, as it is now; generation 0: there is none.
struct Look {
  std::uint64_t generation = 0;
  std::string text;

  bool operator==(const Look&) const = default;
};

Look look_at(int opened, const fs::path& folder) {
  while (true) {
    std::uint64_t newest = 0;
    for (const std::string& name : names_in(opened, folder)) {
      newest = std::max(newest, generation_of(name));
    }
    if (newest == 0) return {};
    if (auto text = read_text(opened, folder / name_of(newest))) return {newest, std::move(*text)};
    // Removed in between, so there is a newer one, or nothing any more.
  }
}

std::string holder_in(const std::string& text) {
  const std::optional<LeaseRecord> record = parse_lease(text);
  return record ? lease_holder(*record) : "a process that its lease does not name";
}

std::string new_owner() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

LeaseRecord record_of_this_process() {
  const char* job = std::getenv("SLURM_JOB_ID");
  return {.owner = new_owner(),
          .host = host_name(),
          .system = this_system(),
          .process = ::getpid(),
          .started = process_started(::getpid()),
          .batch_job = job != nullptr ? job : ""};
}

/// Whether all of it is in the file, and on the disk.
bool write_at_start(int file, const std::string& text) {
  return ::pwrite(file, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()) &&
         ::fdatasync(file) == 0;
}

/// Watches the lease of a folder until it may be taken: its generation. Throws InputError where a
/// living process holds it.
std::uint64_t wait_for_lease(int opened, const fs::path& folder, const LeaseTiming& timing) {
  std::optional<Look> first;
  Stopwatch since_first;
  bool moved = false;
  while (true) {
    // Taken before the look: what lies between may be long, and must not count.
    const double still_seconds = first ? since_first.seconds() : 0;
    const Look look = look_at(opened, folder);
    const bool same_lease = first && first->generation == look.generation;
    if (!first || look != *first) {
      moved = same_lease;
      first = look;
      since_first.lap();
    }
    const std::optional<LeaseRecord> record = parse_lease(look.text);
    const LeaseSight sight{.exists = look.generation > 0,
                           .record = record,
                           .holder = record ? holder_sight(*record) : HolderSight::kElsewhere,
                           .moved = moved,
                           .still_seconds = same_lease ? still_seconds : 0};
    switch (judge_lease(sight, timing.time_out)) {
      case LeaseVerdict::kTake:
        return look.generation;
      case LeaseVerdict::kRefuse:
        throw InputError(
            fmt::format("{}: is held by {}, which works in it: wait for its end, stop "
                        "it, or name another folder",
                        folder.string(), holder_in(look.text)));
      case LeaseVerdict::kWatch:
        break;
    }
    if (!same_lease) {
      fmt::print(stderr, "thaw: {}: is held by {}; watching for {:.0f} s whether that lives\n",
                 folder.string(), holder_in(look.text), timing.time_out);
    }
    if (timing.waiting) timing.waiting();
    std::this_thread::sleep_for(timing.renew / 4);
  }
}

/// What others have left: leases that no longer count, and files of those that died while they took
/// one. Another's that lives is let be.
void remove_leftovers(int opened, const fs::path& folder, std::uint64_t held) {
  for (const std::string& name : names_in(opened, folder)) {
    const std::uint64_t generation = generation_of(name);
    bool left = generation > 0 && generation < held;
    if (name.starts_with(kUnlinked)) {
      try {
        const auto text = read_text(opened, folder / name);
        const auto record = text ? parse_lease(*text) : std::nullopt;
        left = record && holder_sight(*record) == HolderSight::kGone;
      } catch (const Error&) {
        left = false;
      }
    }
    if (left) ::unlinkat(opened, name.c_str(), 0);
  }
}

}  // namespace

void LeaseClaim::check() const {
  if (generation == 0) return;
  const FileUse use("look at the lease of", folder.native());
  const Opened opened = open_folder(folder);
  if (opened.number() < 0 && errno == ENOENT) return;
  if (opened.number() < 0) fail(folder, "look whether it is still held");
  const Look now = look_at(opened.number(), folder);
  if (now.generation == 0) return;
  const std::optional<LeaseRecord> record = parse_lease(now.text);
  if (now.generation == generation && (!record || record->owner == owner)) return;
  throw RunError(fmt::format(
      "{}: is held by {} now: this process had not renewed its lease (it was suspended, or the "
      "file system did not answer), and stops without writing there again",
      folder.string(), holder_in(now.text)));
}

FolderLease::FolderLease(fs::path folder, LeaseTiming timing)
    : claim_{std::move(folder), 0, ""},
      timing_(std::move(timing)),
      record_(record_of_this_process()) {
  const Opened opened = open_folder(claim_.folder);
  if (opened.number() < 0) fail(claim_.folder, "open it");
  while (!claim_generation(opened.number(),
                           wait_for_lease(opened.number(), claim_.folder, timing_) + 1)) {
  }
  remove_leftovers(opened.number(), claim_.folder, claim_.generation);
  // The thread takes no signal: they are for the main thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  renewer_ = std::thread([this] { renew_until_stopped(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

FolderLease::~FolderLease() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  renewer_.join();
  record_.held = false;
  write_record();
  ::close(file_);
}

bool FolderLease::claim_generation(int folder, std::uint64_t generation) {
  const std::string numbered = name_of(generation);
  const std::string own = std::string(kUnlinked) + record_.owner;
  constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  Opened file(::openat(folder, own.c_str(), kFlags, 0644));
  if (file.number() < 0) fail(claim_.folder / own, "create it");
  const bool written = write_at_start(file.number(), lease_text(record_));
  const int write_error = errno;
  const bool linked = written && ::linkat(folder, own.c_str(), folder, numbered.c_str(), 0) == 0;
  const int error = written ? errno : write_error;
  struct stat status {};
  // An answer of the server may be lost, and the repeated request fail.
  bool taken = linked || (::fstat(file.number(), &status) == 0 && status.st_nlink == 2);
  ::unlinkat(folder, own.c_str(), 0);
  if (!taken && written && (error == EPERM || error == EOPNOTSUPP || error == ENOSYS)) {
    // A file system without hard links: exclusive creation, so that for an instant it is empty.
    Opened direct(::openat(folder, numbered.c_str(), kFlags, 0644));
    taken = direct.number() >= 0;
    if (taken ? !write_at_start(direct.number(), lease_text(record_)) : errno != EEXIST) {
      fail(claim_.folder / numbered, "create it");
    }
    file = std::move(direct);
  } else if (!taken && error != EEXIST) {
    errno = error;
    fail(claim_.folder / numbered, "create it");
  }
  if (!taken) return false;
  ::fsync(folder);
  const Look now = look_at(folder, claim_.folder);
  if (now.generation != generation) {
    ::unlinkat(folder, numbered.c_str(), 0);  // late by a whole lease: it does not count
    return false;
  }
  file_ = file.release();
  claim_.generation = generation;
  claim_.owner = record_.owner;
  return true;
}

void FolderLease::renew_until_stopped() {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, timing_.renew, [this] { return stopping_; })) {
    lock.unlock();
    ++record_.count;
    write_record();
    lock.lock();
  }
}

/// A failure is for the next renewal to mend; who cannot renew for long loses the folder.
void FolderLease::write_record() {
  const FileUse use("renew the lease of", claim_.folder.native());
  static_cast<void>(write_at_start(file_, lease_text(record_)));
}

std::optional<std::string> holder_of_folder(const fs::path& folder, double patience) {
  const FileUse use("look at the lease of", folder.native());
  const Opened opened = open_folder(folder);
  if (opened.number() < 0) fail(folder, "open it");
  Look first = look_at(opened.number(), folder);
  std::optional<LeaseRecord> record = parse_lease(first.text);
  for (int tries = 0; first.generation > 0 && !record && tries < 5; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // between two instants of it
    first = look_at(opened.number(), folder);
    record = parse_lease(first.text);
  }
  if (!record || !record->held) return std::nullopt;
  switch (holder_sight(*record)) {
    case HolderSight::kRuns:
      return lease_holder(*record);
    case HolderSight::kEnding:
    case HolderSight::kGone:
      return std::nullopt;
    case HolderSight::kElsewhere:
      break;
  }
  for (const Stopwatch watch; watch.seconds() < patience;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const Look now = look_at(opened.number(), folder);
    if (now == first) continue;
    const std::optional<LeaseRecord> next = parse_lease(now.text);
    if (!next) continue;  // between two instants of a renewal
    return next->held ? std::optional(lease_holder(*next)) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace thaw
