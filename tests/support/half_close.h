// A guest's program that says all it has to say, ends its direction and then waits for the answer.
#pragma once

#include <cstdint>
#include <string>

#include "tests/support/tcp_peer.h"

namespace vtl::test {

/// `nc -N` in `guest` to `address`:`port`, where `listener` hears it. Only when its end has been
/// acknowledged does the server answer: small pieces, each after the last has arrived, then a
/// megabyte, then its own end. The error says what of that was not so.
Outcome<void> ask_end_and_be_answered(const lab::Host& guest, const std::string& address,
                                      std::uint16_t port, Tcp& listener);

}  // namespace vtl::test
