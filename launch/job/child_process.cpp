#include "launch/job/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "core/base/whole_file.h"

namespace thaw {
namespace {

// Note [How programs are started]
// vfork, not fork: fork runs the handlers that MPI and the GPU's driver have registered for it, and
// a rank does not survive those. And not posix_spawn, which has no way to say that the program is
// to end when its parent does (PR_SET_PDEATHSIG); without that, a killed `thaw compare` or
// `thaw launch` would leave trainings behind that hold the machine and their run folders.
// Between vfork and exec the child runs in this process's memory. So all that it needs is made
// before, it calls nothing but what a signal handler may call, and no signal reaches it: a handler
// would take effect here.

/// Pointers as exec wants them, into strings that outlive them.
std::vector<char*> pointers_to(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

/// This process's environment with `settings` in place of what has their names.
std::vector<std::string> environment_with(const std::vector<std::string>& settings) {
  std::vector<std::string> all = settings;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string text = *each;
    const std::string name = text.substr(0, text.find('=') + 1);
    bool replaced = false;
    for (const std::string& setting : settings) replaced = replaced || setting.starts_with(name);
    if (!replaced) all.push_back(text);
  }
  return all;
}

/// What a child needs until it is another program.
struct Start {
  char* const* words;
  char* const* environment;
  int streams[3];  ///< for descriptors 0, 1 and 2; -1: as they are
  bool own_group;
  pid_t parent;
  int failure;  ///< descriptor of a pipe that takes errno where it fails; closed by exec
};

bool connect(int from, int to) {
  if (from < 0) return true;
  if (from == to) return fcntl(to, F_SETFD, 0) == 0;  // dup2 would leave it to be closed by exec
  return dup2(from, to) >= 0;
}

/// In the child, all signals blocked.
[[noreturn]] void become(const Start& start) {
  struct sigaction fallback = {};
  fallback.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction now = {};
    const bool handled = sigaction(number, nullptr, &now) == 0 && now.sa_handler != SIG_IGN;
    if (handled && now.sa_handler != SIG_DFL) sigaction(number, &fallback, nullptr);
  }
  bool good = prctl(PR_SET_PDEATHSIG, SIGTERM) == 0;
  if (getppid() != start.parent) _exit(128 + SIGTERM);  // it died before it could be heard of
  good = good && (!start.own_group || setpgid(0, 0) == 0);
  for (int each = 0; each < 3; ++each) good = good && connect(start.streams[each], each);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (good) execvpe(start.words[0], start.words, start.environment);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(start.failure, &error, sizeof error);
  _exit(127);
}

}  // namespace

Descriptor::~Descriptor() {
  if (number_ >= 0) close(number_);
}

Descriptor::Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}

Descriptor Descriptor::create(const std::filesystem::path& path) {
  Descriptor made(open_own_file(path, /*own=*/1, O_WRONLY | O_CREAT | O_TRUNC));
  if (made.number() < 0) {
    throw RunError(fmt::format("{}: cannot be written: {}", path.string(), std::strerror(errno)));
  }
  return made;
}

Descriptor Descriptor::nothing() {
  Descriptor made(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (made.number() < 0) throw RunError(fmt::format("/dev/null: {}", std::strerror(errno)));
  return made;
}

ChildProcess::ChildProcess(const ProcessRequest& request) {
  const auto not_started = [&](int error) {
    return ProcessNotStarted(
        fmt::format("{} cannot be started: {}", request.command[0], std::strerror(error)));
  };
  const std::vector<std::string> environment = environment_with(request.environment);
  const std::vector<char*> words = pointers_to(request.command);
  const std::vector<char*> settings = pointers_to(environment);
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) throw not_started(errno);
  const Descriptor failure(ends[0]);
  std::optional<Descriptor> failure_to(ends[1]);
  const Start start{.words = words.data(),
                    .environment = settings.data(),
                    .streams = {request.input, request.output, request.errors},
                    .own_group = request.own_group,
                    .parent = getpid(),
                    .failure = ends[1]};
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  process_ = vfork();
  if (process_ == 0) become(start);
  const int no_process = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (process_ < 0) throw not_started(no_process);
  failure_to.reset();
  int error = 0;
  // Nothing comes where exec has closed the other end.
  if (read(failure.number(), &error, sizeof error) == sizeof error) {
    wait();
    throw not_started(error);
  }
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : process_(std::exchange(other.process_, -1)),
      status_(other.status_),
      told_to_end_(other.told_to_end_) {}

ChildProcess::~ChildProcess() {
  if (process_ < 0 || poll()) return;
  // Once: a second one ends a training without its being saved.
  if (!told_to_end_) signal(SIGTERM);
  // Not wait(), which may throw.
  while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::optional<int> ChildProcess::reap(int options) {
  int status = 0;
  pid_t ended = 0;
  while (!status_ && (ended = waitpid(process_, &status, options)) < 0) {
    if (errno != EINTR) {
      throw RunError(fmt::format("waiting for process {}: {}", process_, std::strerror(errno)));
    }
  }
  if (ended > 0) status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return status_;
}

std::optional<int> ChildProcess::poll() { return reap(WNOHANG); }

int ChildProcess::wait() { return *reap(0); }

void ChildProcess::signal(int number) {
  told_to_end_ = told_to_end_ || number == SIGTERM;
  if (!status_) kill(process_, number);
}

void ChildProcess::kill_group() const { kill(-process_, SIGKILL); }

}  // namespace thaw
