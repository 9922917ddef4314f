#include "launch/run/run_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/base/text_bytes.h"
#include "core/data/dataset.h"
#include "core/data/finite_values.h"
#include "core/data/identity/data_facts.h"
#include "core/kernels/matrix_product.h"
#include "core/models/model.h"
#include "core/models/registry.h"
#include "core/models/weights/weights.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/schedule/resolve_schedule.h"
#include "core/step/parameter_table.h"
#include "core/tasks/registry.h"
#include "core/tasks/task.h"
#include "core/train/prefix/prefix_rules.h"
#include "core/train/reduction_rules.h"
#include "dist/communicator/gpu_backend.h"
#include "dist/communicator/gpu_choice.h"
#include "dist/communicator/registry.h"
#include "launch/identity/input_agreement.h"
#include "launch/identity/model_identity.h"
#include "launch/run/data_opening.h"
#include "launch/run/named_files.h"
#include "launch/run/process_setup.h"
#include "launch/run/trained_weights.h"
#include "launch/run/training_samples.h"
#include "launch/run/weights_match.h"

namespace thaw {
namespace {

ConfigurationDocument read_on_rank_0(const SetupRequest& request, Communicator& communicator) {
  std::string text = agreed(communicator, [&] {
    return communicator.rank() == 0 ? read_configuration_text(request.path) : std::string();
  });
  text = communicator.broadcast(std::move(text), 0);
  ConfigurationDocument document = agreed(
      communicator, [&] { return parse_configuration(text, request.path, request.overrides); });
  agreed(communicator, [&] {
    located_errors(document, [&] { settle_architecture(document.configuration.model); });
  });
  agreed(communicator, [&] {
    if (communicator.rank() == 0) require_described_files(text, document);
  });
  agree_on_inputs(communicator, "options", configuration_facts(document),
                  "give all of them the same flags");
  return document;
}

/// The splits that will be read: those asked for, or what training needs.
std::vector<std::string> wanted_splits(const SetupRequest& request, const Dataset& dataset) {
  std::vector<std::string> splits = request.splits;
  if (splits.empty()) {
    splits.emplace_back("train");
    if (dataset.has_split("validation")) {
      splits.emplace_back("validation");
    }
  }
  for (const std::string& split : request.splits_if_any) {
    if (dataset.has_split(split)) {
      splits.push_back(split);
    }
  }
  return splits;
}

/// The user's own groups, if the configuration has any, are what freezes and thaws.
void use_own_groups(Model& model, const ConfigurationDocument& document) {
  std::vector<ParameterGroup> groups;
  for (const GroupOptions& group : document.configuration.model.groups) {
    groups.push_back({group.name, group.parameters});
  }
  if (groups.empty()) return;
  try {
    model.set_freezing_groups(std::move(groups));
  } catch (const InputError& error) {
    throw InputError(fmt::format("{}: {}", document.where("model.group"), error.what()));
  }
}

/// A collective: this rank's GPU by train.device; see agreed_gpu. Where a program that could use
/// GPUs finds none, it says why.
std::optional<int> choose_gpu(const RunSetup& setup, Communicator& communicator) {
  const DeviceChoice wanted = setup.configuration().train.device;
  const GpuSupply supply = gpu_supply();
  const std::optional<int> gpu = located_errors(
      setup.document, [&] { return agreed_gpu(communicator, setup.topology, wanted, supply); });
  if (!gpu && supply.built_with_cuda && wanted == DeviceChoice::kAuto && communicator.rank() == 0) {
    fmt::print(stderr, "thaw: computing on the CPU: {}\n", why_no_gpu(supply));
  }
  return gpu;
}

/// Refuses pixels that are no numbers, but where training is to pass over such steps.
void check_values(const RunSetup& setup, const std::string& split, const SetupRequest& request) {
  try {
    require_finite_values(*setup.dataset, split);
  } catch (const InputError& error) {
    if (request.loaded_head || setup.configuration().train.not_finite == NotFinite::kStop) throw;
    fmt::print(stderr, "thaw: warning: {}; steps that meet it are passed over\n",
               printable(error.what()));
  }
}

WeightsRole role_of(const SetupRequest& request) {
  return request.source_task ? WeightsRole::kSourceTask : WeightsRole::kOwn;
}

/// Opens the weights that the model begins from, and fills into the configuration what they say of
/// themselves. A collective.
std::unique_ptr<TrainedWeights> open_weights(RunSetup& setup, const SetupRequest& request,
                                             Communicator& communicator) {
  return located_errors(setup.document, [&] {
    ModelOptions& options = setup.document.configuration.model;
    if (!request.weights.empty()) options.weights = request.weights;
    if (request.loaded_head) options.head = HeadSource::kLoaded;
    auto weights = std::make_unique<TrainedWeights>(options.weights, options.head, communicator);
    agreed(communicator, [&] { adopt_options(setup.document, *weights, role_of(request)); });
    return weights;
  });
}

/// What is learnt, with its classes in the order of the weights' whose head is loaded.
void make_matching_task(RunSetup& setup, const DataUse& use, const TrainedWeights& weights,
                        bool first) {
  const TaskKind kind = setup.configuration().task.kind;
  setup.task = make_task(*setup.dataset, kind);
  const std::vector<std::string> notes = match_data(*setup.dataset, *setup.task, use, weights);
  setup.task = make_task(*setup.dataset, kind);
  if (!first) return;
  for (const std::string& note : notes) fmt::print(stderr, "thaw: note: {}\n", note);
}

/// A collective: all ranks see the same samples and labels of the splits that will be read.
void agree_on_labels(const RunSetup& setup, Communicator& communicator) {
  std::map<std::string, std::string> contents;
  for (const std::string& split : setup.splits) contents[split];
  agree_on_inputs(communicator, "data", data_facts(*setup.dataset, contents),
                  fmt::format("{} holds other data than on rank 0 there",
                              printable(setup.dataset->files().front())));
}

/// Opens the data on every rank, decodes what is to be decoded, and makes sure that all see the
/// same. A collective.
void open_data(RunSetup& setup, const SetupRequest& request, const TrainedWeights& weights,
               Communicator& communicator) {
  const DataOptions& options = setup.configuration().data;
  const std::vector<std::string> files = agreed(communicator, [&] {
    std::vector<std::string> names = expand_files(options.file);
    if (setup.topology.local_rank == 0) {
      try_data_files(names);
    }
    return names;
  });
  setup.dataset = agreed(communicator, [&] { return std::make_shared<Dataset>(files); });
  agreed(communicator, [&] {
    if (communicator.rank() == 0) tell_doubtful(*setup.dataset);
  });
  if (!request.source_task) {
    agreed(communicator, [&] {
      located_errors(setup.document, [&] {
        take_named_tokenizer(*setup.dataset, setup.configuration().model.tokenizer);
      });
    });
  }
  const DataCacheOptions cache{.mode = options.cache,
                               .local_processes = setup.topology.local_size,
                               .progress = decode_progress(communicator.rank(), request.monitor)};
  const std::vector<std::string>& splits = setup.splits =
      agreed(communicator, [&] { return wanted_splits(request, *setup.dataset); });
  agreed(communicator, [&] {
    for (const std::string& split : splits) {
      setup.dataset->split(split).prepare(cache);
    }
  });
  agreed(communicator, [&] {
    if (communicator.rank() != 0) return;
    for (const std::string& split : splits) check_values(setup, split, request);
  });
  agreed(communicator, [&] {
    located_errors(setup.document, [&] {
      narrow_training_data(*setup.dataset, options, splits);
      make_matching_task(setup, {.splits = splits, .labels = !request.labels_unused}, weights,
                         communicator.rank() == 0);
    });
  });
  agree_on_labels(setup, communicator);
}

/// Tokens are read through once, on rank 0, and only of the splits that will be used.
InputFacts input_facts(const RunSetup& setup, const std::vector<std::string>& splits,
                       Communicator& communicator) {
  const Dataset& dataset = *setup.dataset;
  const SampleFormat& format = dataset.format();
  InputFacts facts;
  facts.rows = setup.task->output_rows();
  if (format.kind == DataKind::kImages) {
    facts.kind = InputFacts::Kind::kImages;
    facts.channels = format.channels;
    facts.height = format.height;
    facts.width = format.width;
    return facts;
  }
  facts.kind = InputFacts::Kind::kText;
  agreed(communicator, [&] {
    for (const std::string& name : splits) {
      const Split& split = dataset.split(name);
      facts.longest_sample = std::max(facts.longest_sample, split.longest());
      for (const std::int64_t type : split.types()) {
        facts.largest_type = std::max(facts.largest_type, type);
      }
      if (communicator.rank() == 0) {
        facts.largest_token = std::max(facts.largest_token, split.largest_token());
      }
    }
  });
  facts.largest_token =
      std::stoll(communicator.broadcast(std::to_string(facts.largest_token), /*root=*/0));
  return facts;
}

/// A collective: all ranks have read the same network and weights, of which all but `initial` came
/// from a file. What they read makes the run what it is.
void agree_on_model(RunSetup& setup, const std::vector<std::string>& initial,
                    Communicator& communicator) {
  const ModelOptions& options = setup.configuration().model;
  const Facts config = agreed(communicator, [&] {
    return options.config.empty() ? Facts() : config_file_facts(options.config);
  });
  agree_on_inputs(communicator, "networks", config, "give all of them the same model.config");
  agree_on_inputs(communicator, "groups of parameters", group_facts(*setup.model),
                  "give all of them the same options");
  const Facts built = tensor_facts(*setup.model);
  agree_on_inputs(communicator, "networks", built, "give all of them the same model and data");
  const Facts weights = weight_facts(*setup.model, initial);
  agree_on_inputs(communicator, "weights", weights, "give all of them the same model.weights");
  setup.model_identity = config;
  setup.model_identity.push_back(summed_up(kModelSubject, "tensors", built));
  setup.model_identity.push_back(summed_up(kWeightsSubject, "content", weights));
}

/// Builds the model, loads its weights, and makes all ranks' copies equal, on the device that it is
/// trained on. A collective.
void build_model(RunSetup& setup, const SetupRequest& request, const TrainedWeights& weights,
                 Communicator& communicator) {
  const ModelOptions& options = setup.configuration().model;
  const TrainOptions& train = setup.configuration().train;
  const InputFacts facts = input_facts(setup, setup.splits, communicator);
  if (facts.kind == InputFacts::Kind::kText) keep_few_products();  // samples are of any length
  std::vector<std::string> initial;
  const auto made_model = [&] {
    if (request.loaded_head && options.weights.empty()) {
      throw InputError("model.weights: names none; name trained ones, or give --weights");
    }
    std::shared_ptr<Model> model =
        make_model(options, setup.task->outputs(), facts, static_cast<std::uint64_t>(train.seed));
    if (train.precision == Precision::kFloat64) {
      model->to(at::kDouble);
    } else if (train.precision == Precision::kBFloat16) {
      model->set_precision(at::kBFloat16);
    }
    model->set_gradient_checkpointing(train.gradient_checkpointing);
    check_settings(*model, weights, role_of(request));
    LoadReport loaded = weights.load(*model, options);
    setup.weight_names = std::move(loaded.names);
    initial = options.weights.empty() ? names_of_tensors(*model) : std::move(loaded.initial);
    use_own_groups(*model, setup.document);
    return model;
  };
  setup.model = agreed(communicator, [&] { return located_errors(setup.document, made_model); });
  agree_on_model(setup, initial, communicator);
  // What was drawn may differ in its last bits between kinds of processors: rank 0's counts.
  const c10::AutoGradMode no_grad(false);
  for (at::Tensor& tensor : setup.model->parameters()) communicator.broadcast(tensor, 0);
  for (at::Tensor& tensor : setup.model->buffers()) communicator.broadcast(tensor, 0);
  if (setup.gpu) {
    use_gpu(*setup.gpu);
    setup.model->to(at::Device(at::kCUDA, static_cast<at::DeviceIndex>(*setup.gpu)));
    set_gpu_arithmetic(setup.configuration().train);
    // As images and what convolutions make of them lie: else each convolution copies.
    for (at::Tensor& weight : setup.model->parameters()) {
      if (weight.dim() == 4) weight.set_data(weight.contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
  setup.model->weights_changed();
}

}  // namespace

std::vector<std::string> RunSetup::group_names() const {
  std::vector<std::string> names;
  for (const ParameterGroup& group : model->freezing_groups()) {
    names.push_back(group.name);
  }
  return names;
}

std::map<std::string, std::string> RunSetup::group_aliases() const {
  if (model->has_own_freezing_groups()) return {};
  return model->group_aliases();
}

RunSetup set_up(const SetupRequest& request, Communicator& communicator) {
  agree_on_program(communicator);
  RunSetup setup;
  setup.document = read_on_rank_0(request, communicator);
  if (request.configured) {
    request.configured(setup.configuration());
  }
  setup.topology = discover_topology(communicator);
  use_cores(setup.configuration().train.threads, setup.topology, communicator);
  setup.gpu = choose_gpu(setup, communicator);
  const std::unique_ptr<TrainedWeights> weights = open_weights(setup, request, communicator);
  open_data(setup, request, *weights, communicator);
  build_model(setup, request, *weights, communicator);
  return setup;
}

RunSetup set_up_source_task(const RunSetup& setup, Communicator& communicator) {
  RunSetup source = setup;
  Configuration& configuration = source.document.configuration;
  const ForgettingOptions& forgetting = configuration.forgetting;
  agreed(communicator, [&] {
    if (forgetting.weights.empty()) {
      throw InputError("[retention] names data but no weights: name those of a run on that task");
    }
  });
  configuration.data.file = forgetting.data;
  configuration.data.fraction = 1;
  configuration.data.per_class = 0;
  configuration.task = {};  // what its own data say
  SetupRequest request;
  request.weights = forgetting.weights;
  request.loaded_head = true;
  request.splits = {forgetting.split};
  request.source_task = true;
  const std::unique_ptr<TrainedWeights> weights = open_weights(source, request, communicator);
  open_data(source, request, *weights, communicator);
  build_model(source, request, *weights, communicator);
  return source;
}

std::unique_ptr<Communicator> tensor_communicator(const RunSetup& setup, Communicator& world) {
  // Later than the watchdog, which knows what each rank is at; this is for jobs without one.
  const DistributedOptions& options = setup.configuration().distributed;
  TensorRoute route{
      .topology = setup.topology, .gpu = setup.gpu, .deadline = std::chrono::hours(24 * 365)};
  if (options.hang_deadline > 0 && options.transition_deadline > 0) {
    route.deadline = std::chrono::ceil<std::chrono::milliseconds>(
        std::chrono::duration<double>(options.hang_deadline + options.transition_deadline));
  }
  return make_tensor_communicator(world, route);
}

Schedule agreed_schedule(const RunSetup& setup, Communicator& communicator) {
  return agreed(communicator, [&] {
    Schedule schedule = resolve_schedule(
        setup.document, setup.group_names(), setup.dataset->split("train").size(),
        setup.dataset->has_split("validation"), setup.task->metric_names(), setup.group_aliases());
    located_errors(setup.document, [&] {
      check_smoothing(*setup.task, setup.configuration().train, schedule);
      check_micro_batches(setup.configuration().train,
                          setup.dataset->format().kind == DataKind::kText);
      check_reduction(setup.configuration().train, *setup.model, schedule, communicator.size());
      check_prefix_cache(
          setup.configuration().train, setup.configuration().data, *setup.model,
          ParameterTable(*setup.model, setup.configuration().train.decay_norms_and_biases),
          schedule);
      check_sharding(setup.configuration().distributed, setup.configuration().train);
    });
    return schedule;
  });
}

}  // namespace thaw
