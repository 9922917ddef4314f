#pragma once

#include <c10/core/Allocator.h>

#include <cstddef>
#include <cstdint>
#include <future>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/step/sharing/host_pages.h"

namespace c10 {
struct Storage;
}

namespace thaw {

class Communicator;
class ParameterTable;

// Note [Frozen weights once a host]
// What nobody trains is equal on all ranks, so the ranks of one host need it once. When parameters
// freeze, the first rank of each host writes them into a file in memory, and every rank of the host
// maps it in the place of its own copy, once it has seen that both hold the same bytes. When they
// thaw, each rank has a copy of its own again, made beside the last steps of the stage before.
// It is the memory behind a storage that is replaced, not the tensor or its storage: whoever holds
// the parameter, a view of it, or neighbours that lie in one piece (Note [Weights held once]) goes
// on and sees the same values.
// The mapping is copied on writing: a write that should not be changes this rank's pages alone,
// which is what audits look for, as ever. Files have no names, so a job that is killed leaves
// nothing; each holds what freezes together, and is gone when that has thawed on all ranks.
// Memory of a GPU is not shared, but what lies in host memory beside one is (Note [Frozen weights
// in host memory]); nor are storages of less than four pages, which would take more.

/// The frozen weights of a model, held once by the ranks of each host. Belongs to the training
/// thread; the model keeps what it has when an instance goes.
class SharedWeights {
 public:
  /// A collective. Everything is borrowed.
  SharedWeights(const ParameterTable& parameters, Communicator& communicator);
  ~SharedWeights();

  /// Says that these parameters will be active next: copies what is shared of them on a thread
  /// beside training. Returns at once.
  void prepare(const std::set<std::string>& active);
  /// Waits for what `prepare` began.
  void wait_prepared() const {
    if (prepared_.valid()) prepared_.wait();
  }

  /// Gives these parameters memory of their own, to be called before anybody writes to them; and
  /// forgets those that have left the host's memory since they were shared.
  void thaw(const std::set<std::string>& active);

  /// A collective: all but these are frozen from now on; shares them. Throws DisagreementError on
  /// all ranks, naming a parameter, where ranks hold different bytes of it. A rank that cannot
  /// share keeps what it has; the first time, rank 0 says why.
  void freeze(const std::set<std::string>& active);

  /// Bytes of this rank's weights that it has in common with others of its host.
  std::int64_t bytes() const;

 private:
  /// Parameters that lie in one storage.
  struct Unit {
    std::string name;       ///< of the first of them
    std::size_t group = 0;  ///< of that one
    std::vector<std::string> members;
    const c10::Storage* storage = nullptr;
  };
  using OwnMemory = std::map<std::string, c10::DataPtr>;  ///< by the unit's name

  std::vector<Unit> units() const;
  std::vector<Unit> newly_frozen(const std::set<std::string>& active) const;
  /// Writes them, and maps them itself; what the others of this host are told.
  std::string offer(const std::vector<Unit>& frozen);
  /// Maps what was offered; what all ranks are told of it.
  std::string take(const std::vector<Unit>& frozen, const std::string& offer);
  void judge(const std::vector<std::string>& outcomes);

  const ParameterTable& parameters_;
  Communicator& communicator_;
  int leader_ = 0;           ///< the first rank of this host
  bool in_company_ = false;  ///< there are others on this host
  bool anywhere_ = false;    ///< on some host there are several
  bool told_ = false;
  std::set<std::string> settled_;      ///< frozen units that were shared, or could not be
  std::vector<WrittenPages> written_;  ///< until the others have them
  std::future<OwnMemory> prepared_;
};

}  // namespace thaw
