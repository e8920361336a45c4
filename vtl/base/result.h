// Result: a value or a small reason why there is none.
//
// Untrusted bytes and misuse of an API answer with Result and a small enum; start-up and
// configuration answer with Result and an Error, whose text a person can act on. The data path
// throws no exceptions.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace vtl {

template <class T, class E>
using Result = std::expected<T, E>;

/// A failure told to a person: what went wrong and what would be right, in one line.
struct Error {
  std::string message;
};

template <class T>
using Outcome = std::expected<T, Error>;

/// The failed Outcome that says `message`.
inline std::unexpected<Error> fail(std::string message) {
  return std::unexpected(Error{std::move(message)});
}

}  // namespace vtl
