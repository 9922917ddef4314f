#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <string>
#include <vector>

#include "core/data/batch.h"
#include "core/models/layers/dropout.h"
#include "core/models/model.h"
#include "tests/core/data/hdf5_writer.h"

namespace thaw {

/// One linear layer with dropout before it.
class TinyLayer : public torch::nn::Module {
 public:
  TinyLayer(std::int64_t inputs, std::int64_t outputs, double dropout_rate) {
    weight = register_parameter("weight", at::zeros({outputs, inputs}));
    bias = register_parameter("bias", at::zeros({outputs}));
    dropout = register_module("dropout", std::make_shared<nn::Dropout>(dropout_rate));
    const c10::AutoGradMode no_grad(false);
    for (std::int64_t i = 0; i < weight.numel(); ++i) {
      weight.view(-1)[i].fill_(std::sin(1.7 * static_cast<double>(i + outputs)) / 2);
    }
  }
  at::Tensor forward(const at::Tensor& input) {
    return at::linear(dropout->forward(input), weight, bias);
  }
  at::Tensor weight, bias;
  std::shared_ptr<nn::Dropout> dropout;
};

/// A model of three groups on images of 1 x 2 x 2, which notes how its groups were run.
class TinyModel : public Model {
 public:
  explicit TinyModel(double dropout_rate = 0) {
    const std::int64_t widths[] = {4, 8, 8, 3};
    const char* names[] = {"stem", "middle", "head"};
    for (int i = 0; i < 3; ++i) {
      layers_.push_back(register_module(
          names[i], std::make_shared<TinyLayer>(widths[i], widths[i + 1], dropout_rate)));
      groups_.push_back({names[i], {std::string(names[i]) + ".*"}});
    }
    assign_draw_sites(*this);
  }

  const std::vector<ParameterGroup>& groups() const override { return groups_; }
  bool groups_read_their_own() const override { return true; }

  at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                 const Batch& batch) override {
    at::Tensor hidden = first == 0 ? batch.inputs.flatten(1) : input;
    for (std::size_t g = first; g < last; ++g) {
      recorded.push_back(c10::GradMode::is_enabled());
      hidden = layers_[g]->forward(hidden);
      if (g + 1 < layers_.size()) {
        hidden = at::relu(hidden);
      }
    }
    return hidden;
  }

  TinyLayer& layer(std::size_t g) { return *layers_[g]; }

  std::vector<bool> recorded;  ///< of each group run: whether autograd was on

 private:
  std::vector<std::shared_ptr<TinyLayer>> layers_;
  std::vector<ParameterGroup> groups_;
};

/// Writes float images of 1 x 2 x 2 with labels that depend on them.
inline std::string write_tiny_dataset(const TemporaryFolder& folder, std::int64_t train,
                                      std::int64_t validation) {
  Hdf5Writer file(folder / "tiny.h5");
  for (const auto& [split, samples] :
       {std::pair<const char*, std::int64_t>{"train", train}, {"validation", validation}}) {
    std::vector<float> inputs;
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 0; i < samples; ++i) {
      for (int k = 0; k < 4; ++k) {
        inputs.push_back(static_cast<float>(std::sin(0.37 * static_cast<double>(4 * i + k))));
      }
      labels.push_back(i % 3);
    }
    const auto count = static_cast<hsize_t>(samples);
    if (samples > 0) {
      file.write(std::string("/") + split + "/inputs", {count, 1, 2, 2}, inputs);
      file.write(std::string("/") + split + "/labels", {count}, labels);
    }
  }
  return file.path();
}

}  // namespace thaw
