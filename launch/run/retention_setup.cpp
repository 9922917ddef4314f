#include "launch/run/retention_setup.h"

#include "core/data/dataset.h"
#include "core/models/model.h"
#include "core/parallel/agreement.h"
#include "launch/run/evaluation_setup.h"
#include "launch/run/run_setup.h"

namespace thaw {

std::unique_ptr<Retention> make_retention(const RunSetup& setup, Communicator& communicator) {
  const RetentionOptions& options = setup.configuration().retention;
  if (options.data.empty()) {
    return nullptr;
  }
  const RunSetup source = set_up_source_task(setup, communicator);
  setup.model->eval();
  std::unique_ptr<Retention> retention = agreed(communicator, [&] {
    return std::make_unique<Retention>(
        *setup.model,
        SourceTask{.model = source.model, .dataset = source.dataset, .split = options.split},
        *setup.dataset,
        Retention::Settings{.evaluation = evaluation_settings(setup.configuration()),
                            .samples = options.samples});
  });
  retention->start(communicator);
  return retention;
}

}  // namespace thaw
