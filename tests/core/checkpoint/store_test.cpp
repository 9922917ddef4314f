// Completing a checkpoint, with what can go wrong just before and in the middle of it.
#include "core/checkpoint/store.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/checkpoint/durable_file.h"
#include "tests/support/temporary_folder.h"

namespace thaw {
namespace {
namespace fs = std::filesystem;

constexpr CheckpointPlace kOlder{1, false}, kNewer{2, false};

class StoreTest : public testing::Test {
 protected:
  StoreTest() : store_(fs::path(folder_ / "checkpoints")) {
    store_.commit(written(kOlder, "older"));
  }

  /// A partial folder with all its files, each holding `text`; what is to complete it.
  Manifest written(CheckpointPlace place, const std::string& text) const {
    Manifest manifest;
    manifest.place = place;
    manifest.ranks = 2;
    store_.open_partial(place);
    for (const std::string& name : expected_files(manifest.ranks)) {
      manifest.files.push_back(write_durable_text(store_.partial_path_of(place) / name, text));
    }
    return manifest;
  }

  /// That what is chosen, and whole, is `place`, whose files hold `text`.
  void expect_newest(CheckpointPlace place, const std::string& text) const {
    ASSERT_FALSE(store_.places().empty());
    ASSERT_EQ(store_.places().back(), place);
    const fs::path folder = store_.path_of(place);
    for (const FileRecord& file : read_manifest(folder).files) {
      EXPECT_EQ(read_verified(folder, file, 1000), text);
    }
  }

  /// That a commit of `manifest` fails, with `what` in its message, and leaves the older one
  /// chosen.
  void expect_refused(const Manifest& manifest, const std::string& what) const {
    try {
      store_.commit(manifest);
      ADD_FAILURE() << "committed";
    } catch (const RunError& error) {
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
    EXPECT_EQ(store_.places(), std::vector<CheckpointPlace>{kOlder});
    expect_newest(kOlder, "older");
  }

  TemporaryFolder folder_;
  CheckpointStore store_;
};

/// How a process of its own ends that does `action`, which may write no byte to any file.
int end_without_writing(const std::function<void()>& action) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    ::setrlimit(RLIMIT_FSIZE, &none);
    std::signal(SIGXFSZ, SIG_DFL);
    action();
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

TEST_F(StoreTest, ACommittedOneIsTheNewest) {
  store_.commit(written(kNewer, "newer"));
  expect_newest(kNewer, "newer");
  EXPECT_FALSE(fs::exists(store_.partial_path_of(kNewer)));
}

TEST_F(StoreTest, AFileThatWentBeforeTheCommitIsNamedAndTheOlderOneStays) {
  const Manifest manifest = written(kNewer, "newer");
  for (const FileRecord& file : manifest.files) {
    fs::remove(store_.partial_path_of(kNewer) / file.name);
    expect_refused(manifest, file.name + ": was written by its rank but is not there;");
    EXPECT_EQ(written(kNewer, "newer"), manifest);
  }
  store_.commit(manifest);
  expect_newest(kNewer, "newer");
}

TEST_F(StoreTest, AFileOfAnotherSizeThanWasWrittenIsNamedAndTheOlderOneStays) {
  const Manifest manifest = written(kNewer, "newer");
  for (const FileRecord& file : manifest.files) {
    for (const std::uint64_t bytes : {std::uint64_t{0}, file.bytes - 1, file.bytes + 1}) {
      fs::resize_file(store_.partial_path_of(kNewer) / file.name, bytes);
      expect_refused(manifest, file.name + ": was written by its rank but is not there with all");
    }
    EXPECT_EQ(written(kNewer, "newer"), manifest);
  }
}

// The complete name must come last: a folder of that name without a manifest would be taken for the
// newest checkpoint.
TEST_F(StoreTest, AProcessKilledAtTheManifestLeavesTheOlderOneChosen) {
  const Manifest manifest = written(kNewer, "newer");
  const int status = end_without_writing([&] { store_.commit(manifest); });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGXFSZ);
  EXPECT_EQ(store_.places(), std::vector<CheckpointPlace>{kOlder});
  expect_newest(kOlder, "older");

  CheckpointStore(store_.path()).clear_leftovers();
  EXPECT_FALSE(fs::exists(store_.partial_path_of(kNewer)));
  store_.commit(written(kNewer, "newer"));
  expect_newest(kNewer, "newer");
}

TEST_F(StoreTest, AManifestThatCannotBeWrittenLeavesTheOlderOneChosen) {
  const Manifest manifest = written(kNewer, "newer");
  fs::create_directory(store_.partial_path_of(kNewer) / kManifestFile);
  expect_refused(manifest, fmt::format("{}: cannot create it", kManifestFile));
}

TEST_F(StoreTest, OneOfTheSamePlaceGivesWayInOneInstantOrStays) {
  store_.commit(written(kNewer, "newer"));
  fs::create_directories(store_.path_of(kNewer).string() + kRemovingSuffix + "/in the way");
  bool replaced = true;
  try {
    store_.commit(written(kNewer, "again"));
  } catch (const RunError&) {  // the file system cannot exchange names, and one is taken
    replaced = false;
  }
  expect_newest(kNewer, replaced ? "again" : "newer");
}

TEST_F(StoreTest, OneOfTheSamePlaceIsReplaced) {
  store_.commit(written(kOlder, "again"));
  expect_newest(kOlder, "again");
  EXPECT_EQ(store_.places(), std::vector<CheckpointPlace>{kOlder});
}

// As where the file system cannot exchange two names.
TEST_F(StoreTest, AProcessKilledBetweenTheNamesOfTwoLosesNothing) {
  store_.commit(written(kNewer, "newer"));
  const Manifest manifest = written(kNewer, "again");
  const fs::path replaced = store_.path_of(kNewer).string() + kRemovingSuffix;
  fs::rename(store_.path_of(kNewer), replaced);
  store_.finish_replacements();  // without its manifest it is half written
  EXPECT_EQ(store_.places(), std::vector<CheckpointPlace>{kOlder});

  write_durable_text(store_.partial_path_of(kNewer) / kManifestFile, manifest_text(manifest));
  store_.finish_replacements();
  expect_newest(kNewer, "again");
  store_.clear_leftovers();
  EXPECT_FALSE(fs::exists(replaced));
  expect_newest(kNewer, "again");
  store_.finish_replacements();
  expect_newest(kNewer, "again");
}

// What stands elsewhere is not ours: a planted link must neither be written through nor emptied.
TEST_F(StoreTest, NothingIsWrittenThroughAPlantedLink) {
  const fs::path elsewhere = fs::path(folder_ / "elsewhere");
  fs::create_directory(elsewhere);
  fs::create_directory_symlink(elsewhere, store_.partial_path_of(kNewer));
  EXPECT_THROW(store_.open_partial(kNewer), RunError);
  EXPECT_THROW(write_durable_text(store_.partial_path_of(kNewer) / "state.json", "x"), RunError);
  EXPECT_TRUE(fs::is_empty(elsewhere));
  fs::remove(store_.partial_path_of(kNewer));

  store_.open_partial(kNewer);
  const fs::path file = store_.partial_path_of(kNewer) / "state.json";
  fs::create_symlink(elsewhere / "planted", file);
  try {
    write_durable_text(file, "x");
    ADD_FAILURE() << "written";
  } catch (const RunError& error) {
    EXPECT_NE(std::string(error.what()).find(file.string() + ": is a link"), std::string::npos)
        << error.what();
  }
  EXPECT_TRUE(fs::is_empty(elsewhere));

  fs::rename(store_.path(), elsewhere / "checkpoints");
  fs::create_directory_symlink(elsewhere / "checkpoints", store_.path());
  EXPECT_THROW(store_.open_partial({3, false}), RunError);
  EXPECT_THROW(write_durable_text(store_.path() / folder_name(kOlder) / "state.json", "x"),
               RunError);
}

TEST_F(StoreTest, OfWhatWasSetAsideTheNewestAreKept) {
  std::vector<fs::path> aside;
  for (int i = 0; i < static_cast<int>(kSetAsideKept) + 2; ++i) {
    store_.commit(written(kNewer, "newer"));
    aside.push_back(store_.set_aside(kNewer));
    // Whatever the names say: the last ones to be written are those of this order.
    fs::last_write_time(aside.back(), fs::file_time_type::clock::now() + std::chrono::hours(i));
  }
  EXPECT_EQ(store_.prune_set_aside(), (std::vector<fs::path>{aside[0], aside[1]}));
  for (std::size_t i = 0; i < aside.size(); ++i) EXPECT_EQ(fs::exists(aside[i]), i >= 2);
  EXPECT_TRUE(store_.prune_set_aside().empty());
  expect_newest(kOlder, "older");
}

}  // namespace
}  // namespace thaw
