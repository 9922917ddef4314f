#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace thaw {

/// Samples of one class that were said to be of another, by the classes' numbers.
struct Mistake {
  std::size_t of, said;
  std::int64_t samples;
};

/// Of a table of counts, a row a true class and a column what was said (Task::confusion): the
/// mistakes that were made most often, at most `most` of them, the most frequent first. Pure.
std::vector<Mistake> most_frequent_mistakes(const std::vector<std::vector<double>>& confusion,
                                            std::size_t most);

}  // namespace thaw
