// must(): the value of an Outcome, or an exception that carries its message.
//
// For programs and tests whose only answer to a failed set-up is to stop and say why: googletest
// reports the exception as the test's failure, the `lab` program prints it.
#pragma once

#include <stdexcept>
#include <utility>

#include "vtl/base/result.h"

namespace vtl::lab {

/// A set-up that could not be made; what() is the Error's message.
class LabError : public std::runtime_error {
 public:
  explicit LabError(const Error& error) : std::runtime_error(error.message) {}
};

template <class T>
T must(Outcome<T> outcome) {
  if (!outcome) throw LabError(outcome.error());
  if constexpr (!std::is_void_v<T>) return std::move(*outcome);
}

}  // namespace vtl::lab
