// The main of GoogleTests that run on every rank of an MPI job: all ranks run the same tests in the
// same order, against `mpi_world()`. Rank 0 prints as usual, the others only what fails; a failure
// on any rank fails the job.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>

#include "dist/communicator/mpi/mpi_session.h"
#include "tests/dist/mpi/mpi_world.h"

namespace thaw {

namespace {

Communicator* world = nullptr;

/// Tells failures with the rank; a fatal one ends the job, since this rank has left the test half
/// way and the others may wait for it.
class FailureTeller final : public ::testing::EmptyTestEventListener {
 public:
  explicit FailureTeller(bool tells_all) : tells_all_(tells_all) {}

  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (!result.failed()) return;
    if (tells_all_ || result.fatally_failed()) {
      std::fprintf(stderr, "rank %d: %s:%d: %s\n", world->rank(),
                   result.file_name() ? result.file_name() : "unknown", result.line_number(),
                   result.message());
    }
    if (result.fatally_failed()) throw_away_the_job();
  }

 private:
  [[noreturn]] static void throw_away_the_job();
  bool tells_all_;
};

MpiSession* session = nullptr;

void FailureTeller::throw_away_the_job() {
  session->abort(ExitStatus::kFailed, "a test ended half way on this rank");
}

}  // namespace

Communicator& mpi_world() { return *world; }

}  // namespace thaw

int main(int count, char** arguments) {
  ::testing::InitGoogleMock(&count, arguments);
  thaw::MpiSession session;
  thaw::session = &session;
  thaw::world = &session.world();

  auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
  const bool is_first = session.world().rank() == 0;
  if (!is_first) delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new thaw::FailureTeller(/*tells_all=*/!is_first));

  std::vector<double> failed = {RUN_ALL_TESTS() == 0 ? 0.0 : 1.0};
  session.world().all_reduce(failed);
  return session.end(failed[0] == 0 ? thaw::ExitStatus::kDone : thaw::ExitStatus::kFailed);
}
