// FunctionRef: a non-owning reference to something callable; two words, never an allocation.
//
// For callbacks that are called during the call they are passed to. A FunctionRef must not outlive
// what it refers to: take it as a parameter, never keep it. Thread rule: a value.
#pragma once

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace vtl {

template <class Signature>
class FunctionRef;

template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> &&
             std::is_invocable_r_v<R, F&, Args...>)
  // NOLINTNEXTLINE(google-explicit-constructor): it stands for the callable in a call.
  FunctionRef(F&& callable) noexcept {
    using Target = std::remove_reference_t<F>;
    if constexpr (std::is_function_v<Target>) {
      target_.function = reinterpret_cast<void (*)()>(&callable);
      call_ = [](Target_ target, Args... args) -> R {
        return std::invoke(reinterpret_cast<Target*>(target.function), std::forward<Args>(args)...);
      };
    } else {
      target_.object = const_cast<void*>(static_cast<const void*>(std::addressof(callable)));
      call_ = [](Target_ target, Args... args) -> R {
        return std::invoke(*static_cast<Target*>(target.object), std::forward<Args>(args)...);
      };
    }
  }

  R operator()(Args... args) const { return call_(target_, std::forward<Args>(args)...); }

 private:
  union Target_ {
    void* object;
    void (*function)();
  };
  Target_ target_{};
  R (*call_)(Target_, Args...) = nullptr;
};

}  // namespace vtl
