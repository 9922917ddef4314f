#pragma once

#include <ATen/core/Tensor.h>

#include <any>
#include <cstddef>
#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace thaw {

/// A module's `forward` whatever it takes and returns, so that a DataParallel of any module is of
/// one type.
class AnyForward {
 public:
  using Arguments = std::vector<std::any>;
  struct Result {
    std::any value;
    std::vector<at::Tensor> tensors;  ///< those in `value`
  };

  /// Of a module without a `forward`.
  AnyForward() = default;

  /// `keep` is kept for as long as this; without it `module` must outlive it.
  template <class Module>
  static AnyForward of(Module& module, std::shared_ptr<void> keep = nullptr) {
    AnyForward forward;
    forward.keep_ = std::move(keep);
    if constexpr (requires { &Module::forward; }) forward.bind(module, &Module::forward);
    // Templates and overloads (torch::nn::Sequential), and defaults of further parameters.
    if constexpr (requires(const at::Tensor& input) { module.forward(input); }) {
      forward.of_tensor_ = [&module](const at::Tensor& input) {
        return pack(module.forward(input));
      };
    }
    return forward;
  }

  /// Throws InputError where the module has no `forward`, or one that takes other arguments.
  Result operator()(Arguments& arguments) const;

 private:
  template <class Module, class Return, class Class, class... Parameters>
  void bind(Module& module, Return (Class::*forward)(Parameters...)) {
    bind_as<Return, Parameters...>(
        [&module, forward](auto&&... values) -> Return {
          return (module.*forward)(std::forward<decltype(values)>(values)...);
        },
        std::index_sequence_for<Parameters...>());
  }
  template <class Module, class Return, class Class, class... Parameters>
  void bind(Module& module, Return (Class::*forward)(Parameters...) const) {
    bind_as<Return, Parameters...>(
        [&module, forward](auto&&... values) -> Return {
          return (module.*forward)(std::forward<decltype(values)>(values)...);
        },
        std::index_sequence_for<Parameters...>());
  }

  template <class Return, class... Parameters, class Call, std::size_t... Index>
  void bind_as(Call call, std::index_sequence<Index...>) {
    parameters_ = sizeof...(Parameters);
    of_any_ = [call = std::move(call)](Arguments& arguments) {
      if constexpr (std::is_void_v<Return>) {
        call(value<Parameters>(arguments[Index])...);
        return Result();
      } else {
        return pack(call(value<Parameters>(arguments[Index])...));
      }
    };
  }

  /// Throws std::bad_any_cast; a number may be given as an int or a double.
  template <class Parameter>
  static decltype(auto) value(std::any& argument) {
    using Value = std::decay_t<Parameter>;
    if constexpr (std::is_arithmetic_v<Value>) {
      if (const auto* number = std::any_cast<int>(&argument)) return static_cast<Value>(*number);
      if (const auto* number = std::any_cast<double>(&argument)) return static_cast<Value>(*number);
      return Value(std::any_cast<Value>(argument));
    } else if constexpr (std::is_lvalue_reference_v<Parameter>) {
      return (std::any_cast<Value&>(argument));
    } else {
      return Value(std::any_cast<Value&>(argument));
    }
  }

  template <class Value>
  static Result pack(Value&& value) {
    Result result;
    collect(value, result.tensors);
    result.value = std::any(std::decay_t<Value>(std::forward<Value>(value)));
    return result;
  }

  template <class Value>
  static void collect(const Value& value, std::vector<at::Tensor>& tensors) {
    if constexpr (std::is_base_of_v<at::TensorBase, Value>) {
      tensors.push_back(value);
    } else if constexpr (requires { std::tuple_size<Value>::value; }) {
      std::apply([&](const auto&... parts) { (collect(parts, tensors), ...); }, value);
    } else if constexpr (requires { value.begin() != value.end(); }) {
      for (const auto& part : value) collect(part, tensors);
    } else if constexpr (requires { value.second; }) {
      collect(value.second, tensors);
    }
  }

  std::shared_ptr<void> keep_;
  std::size_t parameters_ = 0;
  std::function<Result(Arguments&)> of_any_;
  std::function<Result(const at::Tensor&)> of_tensor_;
};

}  // namespace thaw
