// Files of activations: what is written is read, whole or not at all, and within their room.
#include "core/data/activations/activation_file.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>
#include <hdf5.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/data/activations/activation_folder.h"
#include "core/data/cache/checked_byte_store.h"
#include "core/data/hdf5/readable_file.h"
#include "tests/support/temporary_folder.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSamples = 500;
constexpr std::int64_t kWidth = 300;

class Activations : public testing::Test {
 protected:
  static ActivationSpec spec(const std::string& key = "a key") {
    ActivationLayout layout{.by_token = true, .shape = {kWidth}};
    std::vector<std::int64_t> offsets{0};
    for (std::int64_t i = 0; i < kSamples; ++i) offsets.push_back(offsets.back() + 1 + i % 4);
    return {.name = "train.encoder.1", .key = key, .layout = layout, .offsets = offsets};
  }
  static at::Tensor rows(const ActivationSpec& of) {
    return at::arange(of.offsets.back() * kWidth, at::kFloat).view({-1, kWidth});
  }
  ActivationFile file(const std::string& key = "a key") const {
    return ActivationFile(folder_.path(), spec(key));
  }
  /// In two parts, as two ranks would.
  static void fill(const ActivationFile& file) {
    const UnfinishedActivations unfinished(file, file.begin());
    const at::Tensor all = rows(file.spec());
    const std::int64_t middle = file.spec().offsets[200];
    unfinished.write(200, all.narrow(0, middle, all.size(0) - middle).contiguous());
    unfinished.write(0, all.narrow(0, 0, middle).contiguous());
    std::vector<Fingerprint> checks = unfinished.checks(0, 1);
    for (const Fingerprint& check : unfinished.checks(1, unfinished.pieces())) {
      checks.push_back(check);
    }
    unfinished.finish(checks);
  }
  static at::Tensor read(const ActivationFile& file, const ActivationFile::Opened& opened,
                         int* computed = nullptr) {
    const at::Tensor all = rows(file.spec());
    const CheckedByteStore store(
        opened.file, opened.address, file.spec().value_bytes(), opened.checks,
        [&](std::int64_t offset, std::int64_t size, std::byte* memory) {
          if (computed != nullptr) ++*computed;
          std::memcpy(memory, static_cast<const std::byte*>(all.const_data_ptr()) + offset,
                      static_cast<std::size_t>(size));
        },
        "test");
    at::Tensor found = at::empty_like(all);
    store.read(0, file.spec().value_bytes(), static_cast<std::byte*>(found.mutable_data_ptr()));
    return found;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }
  static void flip(const std::string& path, std::int64_t at) {
    std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(at);
    const char was = static_cast<char>(stream.get());
    stream.seekp(at);
    stream.put(static_cast<char>(was ^ 0x40));
  }

  TemporaryFolder folder_;
};

TEST_F(Activations, AreReadAsTheyWereWritten) {
  const ActivationFile made = file();
  EXPECT_FALSE(made.open());
  fill(made);
  const auto opened = made.open();
  ASSERT_TRUE(opened);
  EXPECT_TRUE(at::equal(read(made, *opened), rows(made.spec())));
  EXPECT_EQ(names().size(), 1U);
  EXPECT_FALSE(file("another key").open());
}

TEST_F(Activations, AreAnHdf5FileForOtherPrograms) {
  const ActivationFile made = file();
  fill(made);
  const hid_t id = H5Fopen(made.path().c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  ASSERT_GE(id, 0);
  const hid_t values = H5Dopen2(id, "values", H5P_DEFAULT);
  ASSERT_GE(values, 0);
  at::Tensor found = at::empty_like(rows(made.spec()));
  EXPECT_GE(
      H5Dread(values, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, found.mutable_data_ptr()),
      0);
  EXPECT_TRUE(at::equal(found, rows(made.spec())));
  H5Dclose(values);
  H5Fclose(id);
}

TEST_F(Activations, ADamagedPieceIsComputedAgain) {
  const ActivationFile made = file();
  fill(made);
  flip(made.path(), made.open()->address + 12345);
  int computed = 0;
  EXPECT_TRUE(at::equal(read(made, *made.open(), &computed), rows(made.spec())));
  EXPECT_EQ(computed, 1);
  computed = 0;
  EXPECT_TRUE(at::equal(read(made, *made.open(), &computed), rows(made.spec())));
  EXPECT_EQ(computed, 0) << "it was not put back";
}

TEST_F(Activations, ADamagedPieceThatCannotBePutBackIsKeptInMemory) {
  const ActivationFile made = file();
  fill(made);
  const auto opened = made.open();
  flip(made.path(), opened->address + 12345);
  fs::remove(made.path());  // whoever made room has it; what is open can still be read
  const at::Tensor all = rows(made.spec());
  int computed = 0;
  const CheckedByteStore store(
      opened->file, opened->address, made.spec().value_bytes(), opened->checks,
      [&](std::int64_t offset, std::int64_t size, std::byte* memory) {
        ++computed;
        std::memcpy(memory, static_cast<const std::byte*>(all.const_data_ptr()) + offset,
                    static_cast<std::size_t>(size));
      },
      "test");
  testing::internal::CaptureStderr();
  for (const auto& [offset, size] :
       {std::pair<std::int64_t, std::int64_t>{0, made.spec().value_bytes()},
        {12300, 100},
        {0, 10},
        {kCheckedPieceBytes - 5, 10}}) {
    std::vector<std::byte> found(static_cast<std::size_t>(size));
    store.read(offset, size, found.data());
    EXPECT_EQ(
        std::memcmp(found.data(), static_cast<const std::byte*>(all.const_data_ptr()) + offset,
                    found.size()),
        0)
        << offset;
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("cannot be written back (No such file or directory)"), std::string::npos)
      << said;
  EXPECT_EQ(computed, 1);
}

/// More damaged pieces than are kept in memory are computed whenever they are read.
TEST_F(Activations, ManyPiecesThatCannotBePutBackAreReadRight) {
  const auto pieces = static_cast<std::int64_t>(kMostKeptPieces) + 2;
  const std::int64_t bytes = pieces * kCheckedPieceBytes;
  const std::string path = folder_ / "zeros";
  std::ofstream(path).close();
  fs::resize_file(path, static_cast<std::uintmax_t>(bytes));
  const auto opened = std::make_shared<const ReadableFile>(path);
  fs::remove(path);
  const std::vector<std::byte> ones(static_cast<std::size_t>(kCheckedPieceBytes), std::byte{1});
  const std::vector<Fingerprint> checks(static_cast<std::size_t>(pieces),
                                        fingerprint(ones.data(), ones.size()));
  int computed = 0;
  const CheckedByteStore store(
      opened, 0, bytes, checks,
      [&](std::int64_t, std::int64_t size, std::byte* memory) {
        ++computed;
        std::memset(memory, 1, static_cast<std::size_t>(size));
      },
      "test");
  testing::internal::CaptureStderr();
  for (int pass = 0; pass < 2; ++pass) {
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
      std::byte found{};
      store.read((piece + 1) * kCheckedPieceBytes - 1, 1, &found);
      EXPECT_EQ(found, std::byte{1}) << piece;
    }
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  EXPECT_EQ(computed, pieces + 2 * 2) << "two are not kept";
}

TEST_F(Activations, DamagedChecksHeadersAndShortFilesAreNone) {
  const ActivationFile made = file();
  for (const std::int64_t at : {std::int64_t{30}, std::int64_t{60}, std::int64_t{120}}) {
    fill(made);
    ASSERT_TRUE(made.open());
    flip(made.path(), at);
    EXPECT_FALSE(made.open()) << at;
  }
  fill(made);
  fs::resize_file(made.path(), fs::file_size(made.path()) / 2);
  EXPECT_FALSE(made.open());
  fs::resize_file(made.path(), 0);
  EXPECT_FALSE(made.open());
}

/// A process that dies while it fills leaves nothing that anybody reads.
TEST_F(Activations, AKilledProcessLeavesNothingThatIsRead) {
  const ActivationFile made = file();
  const at::Tensor all = rows(made.spec());  // threads do not survive a fork
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const UnfinishedActivations unfinished(made, made.begin());
    unfinished.write(0, all);
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_EQ(names().size(), 1U);
  EXPECT_FALSE(made.open());
  EXPECT_TRUE(make_activation_room(folder_.path(), 1, 1 << 30, {}));
  EXPECT_TRUE(names().empty()) << "what nobody will finish is still there";
  fill(made);
  EXPECT_TRUE(made.open());
}

/// As of a container that ran out of memory: the next one has another name.
TEST_F(Activations, WhatAnotherHostLeftIsRemovedOnceItIsForgotten) {
  const ActivationFile made = file();
  const std::string left = made.path() + ActivationFile::kUnfinished + "elsewhere.7";
  const auto room = [&] { return make_activation_room(folder_.path(), 1, 1 << 30, {}); };
  const auto leave = [&](std::chrono::hours ago) {
    fs::rename(made.begin(), left);
    fs::last_write_time(left, fs::file_time_type::clock::now() - ago);
  };
  leave(std::chrono::hours(2));
  EXPECT_TRUE(room());
  remove_unfinished(made);
  EXPECT_TRUE(fs::exists(left)) << "somebody may be writing it";
  leave(std::chrono::hours(25));
  {
    const FillClaim claim(made.lock_path(), [] {});
    EXPECT_TRUE(room());
    EXPECT_TRUE(fs::exists(left)) << "whoever has the lock writes it";
  }
  EXPECT_TRUE(room());
  EXPECT_FALSE(fs::exists(left));
  leave(std::chrono::hours(25));
  const FillClaim claim(made.lock_path(), [] {});
  remove_unfinished(made);
  EXPECT_FALSE(fs::exists(left)) << "the claim is this process's own";
}

TEST_F(Activations, AFullDiskIsSaidBeforeAnythingIsComputed) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100 << 10, 100 << 10};  // bytes of a file
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      file().begin();
    } catch (const InputError& error) {
      const std::string what = error.what();
      ::_exit(what.find("train.prefix-cache-folder") != std::string::npos ? 0 : 1);
    }
    ::_exit(2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_TRUE(names().empty());
}

TEST_F(Activations, WhatWasUsedLongestAgoMakesRoom) {
  const ActivationFile old_one = file("old");
  const ActivationFile kept = file("kept");
  const ActivationFile newer = file("newer");
  for (const ActivationFile* each : {&old_one, &kept, &newer}) fill(*each);
  const auto now = fs::file_time_type::clock::now();
  fs::last_write_time(kept.path(), now - std::chrono::hours(3));
  fs::last_write_time(old_one.path(), now - std::chrono::hours(2));
  fs::last_write_time(newer.path(), now - std::chrono::hours(1));
  const auto one = static_cast<std::int64_t>(fs::file_size(kept.path()));
  EXPECT_EQ(activation_room(folder_.path(), 0).used, 3 * one);
  EXPECT_TRUE(make_activation_room(folder_.path(), one, 3 * one, {kept.path()}));
  EXPECT_FALSE(fs::exists(old_one.path()));
  EXPECT_TRUE(fs::exists(kept.path()));
  EXPECT_TRUE(fs::exists(newer.path()));
  EXPECT_FALSE(make_activation_room(folder_.path(), 3 * one, 3 * one, {kept.path()}));
  EXPECT_TRUE(fs::exists(kept.path()));
}

TEST_F(Activations, OneProcessHasTheClaim) {
  const std::string lock = folder_ / "a.lock";
  int waited = 0;
  auto first = std::make_unique<FillClaim>(lock, [] {});
  const FillClaim second(lock, [&] {
    if (++waited == 2) first.reset();
  });
  EXPECT_EQ(waited, 2);
}

TEST(ActivationLayout, FollowsTokensOrSamples) {
  const auto tokens = layout_of(at::empty({12, 5}), 4, 12);
  ASSERT_TRUE(tokens);
  EXPECT_TRUE(tokens->by_token);
  EXPECT_EQ(tokens->row_bytes(), 20);
  const auto flat = layout_of(at::empty({12, 5}), 4, -1);
  ASSERT_TRUE(flat);
  EXPECT_EQ(flat->rows, 3);
  EXPECT_EQ(row_offsets(*flat, 2, {}), (std::vector<std::int64_t>{0, 3, 6}));
  EXPECT_FALSE(layout_of(at::empty({13, 5}), 4, 12));
  const at::Tensor images = at::empty({2, 3, 4, 5}).to(at::MemoryFormat::ChannelsLast);
  const auto last = layout_of(images, 2, -1);
  ASSERT_TRUE(last);
  EXPECT_TRUE(last->channels_last);
  EXPECT_EQ(last->stored_shape(), (std::vector<std::int64_t>{4, 5, 3}));
  EXPECT_EQ(last->memory(2).strides(), images.strides());
}

}  // namespace
}  // namespace thaw
