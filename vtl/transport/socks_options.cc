#include "vtl/transport/socks_options.h"

#include <fmt/format.h>

namespace vtl::transport {
namespace {

std::unexpected<Error> wrong(const SocksOptions& options, std::string_view what) {
  return fail(fmt::format("proxy {}: {}", options.name, what));
}

bool has_host_and_port(const wire::SocketAddress& address) {
  return address.address.version() != 0 && address.port.value() != 0;
}

bool is_field(const std::string& text) {
  return !text.empty() && text.size() <= SocksRequest::kMaxField;
}

bool within(Duration value, Duration low, Duration high) {
  return value >= low && value <= high;
}

Outcome<void> check_control(const SocksOptions& options) {
  const TorControlOptions& control = *options.control;
  if (!options.tor) return wrong(options, "only Tor has a control port");
  if (!has_host_and_port(control.address))
    return wrong(options, "its control port needs an address and a port");
  if (control.password.size() > SocksRequest::kMaxField)
    return wrong(options, "the control port's password has at most 255 octets");
  if (!within(control.poll, 100ms, 1h))
    return wrong(options, "the time between two questions to the control port is 100 ms to 1 h");
  if (!within(control.timeout, 100ms, 60s))
    return wrong(options, "the control port's timeout is 100 ms to 60 s");
  return {};
}

}  // namespace

Outcome<void> check(const SocksOptions& options) {
  if (!has_host_and_port(options.address)) return wrong(options, "needs an address and a port");
  if (!options.tor && options.inner == InnerAddresses::kUnsaid)
    return wrong(options, "needs a word on names that lead to its own host or network");
  if (options.credentials &&
      !(is_field(options.credentials->user) && is_field(options.credentials->password)))
    return wrong(options, "user and password have 1 to 255 octets each");
  if (!within(options.connect_timeout, 100ms, 60s))
    return wrong(options, "connect_timeout must be 100 ms to 60 s");
  if (!within(options.answer_timeout, 1s, 600s))
    return wrong(options, "answer_timeout must be 1 s to 600 s");
  if (options.answer_timeout < options.connect_timeout)
    return wrong(options, "answer_timeout may not be shorter than connect_timeout");
  if (options.socket_buffer < (std::size_t{32} << 10) ||
      options.socket_buffer > (std::size_t{64} << 20))
    return wrong(options, "socket_buffer must be 32 KiB to 64 MiB");
  if (!within(options.end_waits_for(), 0s, 1h))
    return wrong(options, "half_close_wait must be 0 to 1 h");
  if (!within(options.probe_min, 10ms, 60s))
    return wrong(options, "probe_min must be 10 ms to 60 s");
  if (!within(options.probe_max, options.probe_min, 600s))
    return wrong(options, "probe_max must be from probe_min to 600 s");
  if (options.max_streams < 1 || options.max_streams > 1'048'576)
    return wrong(options, "max_streams must be 1 to 1048576");
  return options.control ? check_control(options) : Outcome<void>{};
}

}  // namespace vtl::transport
