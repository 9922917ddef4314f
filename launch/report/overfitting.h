#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace thaw {

/// An evaluation beside what training was like just before it.
struct FitPoint {
  std::int64_t step = 0;
  double train_loss = 0;  ///< mean of the steps since the evaluation before; NaN where none is told
  double validation_loss = 0;
};

/// What training beside validation says.
enum class Fit : std::uint8_t {
  kTooEarly,     ///< too few evaluations
  kBroken,       ///< the loss is no number any more
  kImproving,    ///< the newest evaluation is the best, or as good
  kLevelled,     ///< no better and no worse for some evaluations
  kOverfitting,  ///< training goes on to improve, validation got worse
  kWorsening,    ///< both got worse
};

struct FitVerdict {
  Fit fit = Fit::kTooEarly;
  std::int64_t best_step = 0;  ///< of the lowest validation loss; 0: there is none
  std::string words;           ///< for people: a sentence or two
};

// Note [What counts as overfitting]
// Validation loss wavers from evaluation to evaluation, so one that is a little higher says
// nothing. It counts as worse where it has been above the best for two evaluations at least, and
// the newest is above by more than 2 %. Then training decides what it means: if its loss has gone
// down since the best evaluation, the network learns what does not hold elsewhere; if it has gone
// up too, training itself fails. A gap between the two alone says little: training's loss is taken
// with dropout, and while the weights still move.

/// Judges evaluations in the order of steps. Pure.
FitVerdict judge_fit(const std::vector<FitPoint>& points);

}  // namespace thaw
