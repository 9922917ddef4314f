#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "core/record/tensorboard/tensorboard_log.h"
#include "tests/support/temporary_folder.h"

namespace thaw {
namespace {

std::string bytes_in(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <typename Number>
Number number_at(std::string_view bytes, std::size_t at) {
  Number number{};
  std::memcpy(&number, bytes.substr(at, sizeof number).data(), sizeof number);
  return number;
}

/// The events of a file, each checksum verified: a reader that knows nothing of the writer.
std::vector<std::string> events_in(const std::string& bytes) {
  std::vector<std::string> events;
  for (std::size_t at = 0; at < bytes.size();) {
    const auto size = number_at<std::uint64_t>(bytes, at);
    EXPECT_EQ(number_at<std::uint32_t>(bytes, at + 8), masked_checksum(bytes.substr(at, 8)));
    events.push_back(bytes.substr(at + 12, size));
    EXPECT_EQ(number_at<std::uint32_t>(bytes, at + 12 + size), masked_checksum(events.back()));
    at += 16 + size;
  }
  return events;
}

/// A protocol buffer's fields, by number: text, and numbers as their bits.
struct Message {
  std::multimap<std::uint64_t, std::string> texts;
  std::map<std::uint64_t, std::uint64_t> numbers;
};

Message parsed(const std::string& bytes) {
  Message message;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t number = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.at(at++));
      number |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return number;
    }
  };
  while (at < bytes.size()) {
    const std::uint64_t key = varint();
    switch (key & 7) {
      case 0:
        message.numbers[key >> 3] = varint();
        break;
      case 1:
        message.numbers[key >> 3] = number_at<std::uint64_t>(bytes, at);
        at += 8;
        break;
      case 2: {
        const std::size_t size = varint();
        message.texts.emplace(key >> 3, bytes.substr(at, size));
        at += size;
        break;
      }
      case 5:
        message.numbers[key >> 3] = number_at<std::uint32_t>(bytes, at);
        at += 4;
        break;
      default:
        ADD_FAILURE() << "wire type " << (key & 7);
        return message;
    }
  }
  return message;
}

std::map<std::string, float> scalars_of(const Message& event) {
  std::map<std::string, float> scalars;
  const auto summary = event.texts.find(5);
  if (summary == event.texts.end()) return scalars;
  for (const auto& [field, text] : parsed(summary->second).texts) {
    EXPECT_EQ(field, 1U);
    const Message value = parsed(text);
    scalars[value.texts.find(1)->second] =
        std::bit_cast<float>(static_cast<std::uint32_t>(value.numbers.at(2)));
  }
  return scalars;
}

std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(Checksum, IsCrc32cMaskedAsTensorFlowDoes) {
  // RFC 3720, B.4: 32 bytes of zeros have the CRC-32C 0x8A9136AA.
  const std::uint32_t crc = 0x8A9136AAU;
  EXPECT_EQ(masked_checksum(std::string(32, '\0')), std::rotr(crc, 15) + 0xA282EAD8U);
}

TEST(TensorBoardLog, HasTheNumbersOfTheReports) {
  const TemporaryFolder folder;
  {
    TensorBoardLog log(folder / "tensorboard", /*log_every=*/2);
    StepReport step;
    step.step = 2;
    step.loss = 0.6931471805599453;
    step.learning_rates = {{"head", 1e-3}};
    step.samples = 64;
    step.seconds = 0.5;
    step.compute_parts = {.forward = 0.25, .backward = 0.125, .optimizer = 0.0625};
    log.step(step);
    step.step = 3;  // is not told
    log.step(step);
    EvaluationReport evaluation;
    evaluation.step = 300;
    evaluation.split = "validation";
    evaluation.loss = 0.5;
    evaluation.figures = {{"accuracy", 0.75}};
    EvaluationReport::Group head, stem;
    head.name = "head";
    head.moved = 0.01;
    head.gradient_norm = 2.5;
    stem.name = "stem";  // nothing is known of it
    evaluation.groups = {head, stem};
    log.evaluation(evaluation);
  }
  const auto files = files_in(folder / "tensorboard");
  ASSERT_EQ(files.size(), 1U);
  EXPECT_NE(files[0].filename().string().find("tfevents"), std::string::npos);
  const std::vector<std::string> events = events_in(bytes_in(files[0]));
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(parsed(events[0]).texts.find(3)->second, "brain.Event:2");
  const Message step = parsed(events[1]);
  EXPECT_EQ(step.numbers.at(2), 2U);
  EXPECT_GT(std::bit_cast<double>(step.numbers.at(1)), 1.7e9);
  const auto of_step = scalars_of(step);
  EXPECT_EQ(of_step.at("train/loss"), 0.6931471805599453F);
  EXPECT_EQ(of_step.at("learning_rate/head"), 1e-3F);
  EXPECT_EQ(of_step.at("samples_per_second"), 128);
  EXPECT_EQ(of_step.at("seconds/backward"), 0.125);
  EXPECT_FALSE(of_step.contains("gradient_norm"));
  const Message evaluation = parsed(events[2]);
  EXPECT_EQ(evaluation.numbers.at(2), 300U);
  EXPECT_EQ(scalars_of(evaluation), (std::map<std::string, float>{{"validation/loss", 0.5F},
                                                                  {"validation/accuracy", 0.75F},
                                                                  {"moved/head", 0.01F},
                                                                  {"gradient_norm/head", 2.5F}}));
}

TEST(TensorBoardLog, GoesOnInAFileThatIsReadAfterTheFirst) {
  const TemporaryFolder folder;
  StepReport step;
  step.step = 8;
  TensorBoardLog(folder / "tensorboard", 1).step(step);
  {
    TensorBoardLog log(folder / "tensorboard", 1);
    ResumeReport resume;
    resume.step = 5;
    log.resume(resume);
    step.step = 6;
    log.step(step);
  }
  const auto files = files_in(folder / "tensorboard");
  ASSERT_EQ(files.size(), 2U);
  const std::vector<std::string> events = events_in(bytes_in(files[1]));
  ASSERT_EQ(events.size(), 3U);
  const Message restart = parsed(events[1]);
  EXPECT_EQ(restart.numbers.at(2), 6U);
  EXPECT_EQ(parsed(restart.texts.find(7)->second).numbers.at(1), 1U);
  EXPECT_EQ(parsed(events[2]).numbers.at(2), 6U);
}

TEST(TensorBoardLog, ThatCannotBeMadeIsToldOnceAndSwitchedOff) {
  const TemporaryFolder folder;
  std::ofstream(folder / "tensorboard") << "a file";
  TensorBoardLog log(folder / "tensorboard", 1);
  testing::internal::CaptureStderr();
  log.resume(ResumeReport());
  log.step(StepReport());
  log.evaluation(EvaluationReport());
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("tensorboard: cannot be made: "), std::string::npos) << said;
  EXPECT_NE(said.find("training goes on without"), std::string::npos) << said;
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  EXPECT_EQ(bytes_in(folder / "tensorboard"), "a file");
}

TEST(TensorBoardLog, WritesNothingOnceItMayNot) {
  const TemporaryFolder folder;
  TensorBoardLog log(folder / "tensorboard", 1, [] { throw std::runtime_error("lost"); });
  EXPECT_THROW(log.step(StepReport()), std::runtime_error);
  EXPECT_FALSE(std::filesystem::exists(folder / "tensorboard"));
}

}  // namespace
}  // namespace thaw
