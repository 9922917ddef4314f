#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/data/labels.h"

namespace thaw {

/// Where each of `own` stands among `names`; -1 for one that does not. `names` are distinct.
std::vector<std::int64_t> places_among(const std::vector<std::string>& own,
                                       const std::vector<std::string>& names);

/// Whether each stands where it stood, and there are no others.
bool are_the_same(std::span<const std::int64_t> places, std::int64_t width);

/// Of the numbers that have no place, those that a sample, or a token, is labelled with, ascending:
/// a class that occurs, a flag that is set, any column of numbers.
std::vector<std::int64_t> unplaced(const Labels& labels, std::span<const std::int64_t> places);

/// The labels with number `places[i]` for what was number i: another class, or another of now
/// `width` columns. Without a place a class becomes -1, that of a token kNotCounted, and a column
/// is left out; a column that none became is 0. Prompts have no numbers, and stay.
Labels renumbered(const Labels& labels, std::span<const std::int64_t> places, std::int64_t width);

}  // namespace thaw
