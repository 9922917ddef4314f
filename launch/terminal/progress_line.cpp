#include "launch/terminal/progress_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/base/text_bytes.h"
#include "launch/terminal/text_table.h"
#include "launch/terminal/text_width.h"

namespace thaw {
namespace {

constexpr const char* kBold = "\x1b[1m";
constexpr const char* kCyan = "\x1b[36m";
constexpr const char* kYellow = "\x1b[33m";
constexpr const char* kUncoloured = "\x1b[0m";
constexpr std::size_t kShortestName = 6;

/// A part of the line in two lengths.
struct Piece {
  std::string full, brief;
  int weight = 0;  ///< the lightest goes first; 0: it stays
  const char* colour = "";
};

std::string done_text(const ProgressFacts& facts) {
  return facts.run_steps == 0
             ? with_commas(facts.step)
             : fmt::format("{}/{}{}", with_commas(facts.step), facts.may_be_fewer ? "≤" : "",
                           with_commas(facts.run_steps));
}

Piece time_left(const ProgressFacts& facts) {
  if (facts.stage_seconds_left && facts.run_seconds_left) {
    const std::string stage = clock_text(*facts.stage_seconds_left);
    const std::string run = clock_text(*facts.run_seconds_left);
    return {fmt::format("left: stage {}, run {}", stage, run),
            fmt::format("left {}, {}", stage, run), 5};
  }
  if (facts.stage_seconds_left) {
    const std::string stage = clock_text(*facts.stage_seconds_left);
    return {fmt::format("left in stage: {}", stage), fmt::format("left {}", stage), 5};
  }
  if (facts.run_seconds_left) {
    const std::string run = clock_text(*facts.run_seconds_left);
    return {fmt::format("left: run {}", run), fmt::format("left {}", run), 5};
  }
  return {};
}

std::vector<Piece> pieces_of(const ProgressFacts& facts) {
  std::vector<Piece> pieces;
  const std::string stage = printable(facts.stage);
  pieces.push_back({stage, stage, 0, kBold});
  const std::string steps = done_text(facts);
  pieces.push_back({"step " + steps, steps});
  if (!facts.activity.empty()) pieces.push_back({facts.activity, facts.activity, 0, kYellow});
  const std::string epoch = fmt::format("epoch {:.2f}", facts.epoch);
  pieces.push_back({epoch, epoch, 1});
  if (facts.train_loss) {
    const std::string loss = fmt::format("loss {:.4f}", *facts.train_loss);
    pieces.push_back({loss, loss, 6, kCyan});
  }
  if (facts.validation_loss) {
    pieces.push_back({fmt::format("validation {:.4f}", *facts.validation_loss),
                      fmt::format("val {:.4f}", *facts.validation_loss), 4, kCyan});
  }
  if (facts.per_second > 0) {
    pieces.push_back({fmt::format("{:.0f} {}/s", facts.per_second, facts.unit),
                      fmt::format("{:.0f}/s", facts.per_second), 3});
  }
  if (Piece left = time_left(facts); !left.full.empty()) pieces.push_back(std::move(left));
  return pieces;
}

std::size_t width_of(const std::vector<Piece>& pieces, std::string Piece::*length) {
  std::size_t width = 0;
  for (const Piece& piece : pieces) width += (width > 0 ? 2 : 0) + columns_of(piece.*length);
  return width;
}

}  // namespace

std::string progress_line(const ProgressFacts& facts, std::size_t columns, bool colour) {
  const std::size_t most = columns - 1;
  std::vector<Piece> pieces = pieces_of(facts);
  std::string Piece::*length = &Piece::full;
  if (width_of(pieces, length) > most) length = &Piece::brief;
  while (width_of(pieces, length) > most) {
    const auto lightest =
        std::min_element(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
          return (a.weight == 0 ? 100 : a.weight) < (b.weight == 0 ? 100 : b.weight);
        });
    if (lightest->weight == 0) break;
    pieces.erase(lightest);
  }
  if (const std::size_t width = width_of(pieces, length); width > most) {
    std::string& name = pieces.front().*length;
    const std::size_t over = width - most;
    const std::size_t has = columns_of(name);
    name = cut_to_columns(name, has > over + kShortestName ? has - over : kShortestName);
  }
  std::string plain, line;
  for (const Piece& piece : pieces) {
    const std::string& text = piece.*length;
    const std::string gap = line.empty() ? "" : "  ";
    plain += gap + text;
    line += gap + (*piece.colour != '\0' ? piece.colour + text + kUncoloured : text);
  }
  if (columns_of(plain) > most) return cut_to_columns(plain, most);
  return colour ? line : plain;
}

void Pace::begin(std::int64_t step, double seconds) {
  begun_ = true;
  first_ = step;
  steps_ = 0;
  begin_ = seconds;
}

void Pace::done(std::int64_t step, double seconds) {
  steps_ = step - first_;
  seconds_ = seconds - begin_;
}

std::optional<double> Pace::seconds_of(double steps) const {
  if (steps_ <= 0) return std::nullopt;
  return seconds_ / static_cast<double>(steps_) * std::max(steps, 0.0);
}

}  // namespace thaw
