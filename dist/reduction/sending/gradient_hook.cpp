#include "dist/reduction/sending/gradient_hook.h"

#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <map>

namespace thaw {

namespace {

class PlainHook final : public GradientHook {
 public:
  std::string name() const override { return "plain"; }
  void reduce(std::size_t, at::Tensor& gradients, Communicator& communicator) override {
    communicator.all_reduce(gradients);
  }
};

class Bfloat16Hook final : public GradientHook {
 public:
  std::string name() const override { return "bfloat16 with error feedback"; }

  void reduce(std::size_t bucket, at::Tensor& gradients, Communicator& communicator) override {
    const c10::AutoGradMode no_grad(false);
    if (gradients.scalar_type() != at::kFloat && gradients.scalar_type() != at::kDouble) {
      communicator.all_reduce(gradients);
      return;
    }
    at::Tensor& left = left_[bucket];
    // Buckets that were cut anew hold other gradients at the same places.
    if (!left.defined() || left.numel() != gradients.numel() ||
        left.scalar_type() != gradients.scalar_type()) {
      left = at::zeros_like(gradients);
    }
    left.add_(gradients);
    at::Tensor travelling = left.to(at::kBFloat16);
    left.sub_(travelling.to(left.scalar_type()));
    // What is no number would stay in what is left for ever.
    left.nan_to_num_(0, 0, 0);
    communicator.all_reduce(travelling);
    gradients.copy_(travelling);
  }

 private:
  std::map<std::size_t, at::Tensor> left_;  ///< of each bucket: what was not sent yet
};

class RoundingHook final : public GradientHook {
 public:
  std::string name() const override { return "bfloat16"; }
  std::optional<at::ScalarType> rounds_to() const override { return at::kBFloat16; }

  void reduce(std::size_t, at::Tensor& gradients, Communicator& communicator) override {
    const c10::AutoGradMode no_grad(false);
    at::Tensor travelling = gradients.to(at::kBFloat16);
    communicator.all_reduce(travelling);
    gradients.copy_(travelling);
  }
};

}  // namespace

std::shared_ptr<GradientHook> make_rounding_hook() { return std::make_shared<RoundingHook>(); }

std::shared_ptr<GradientHook> make_bfloat16_hook() { return std::make_shared<Bfloat16Hook>(); }

std::shared_ptr<GradientHook> make_plain_hook() { return std::make_shared<PlainHook>(); }

}  // namespace thaw
