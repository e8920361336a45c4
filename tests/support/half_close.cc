#include "tests/support/half_close.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "lab/process.h"
#include "lab/wait.h"
#include "vtl/base/rng.h"

namespace vtl::test {
namespace {

constexpr const char* kRequest = "what is it?\n";
constexpr int kPieces = 20;
constexpr Duration kBound = 60s;

Outcome<void> send_all(const Tcp& to, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::send(to.fd(), text.data(), text.size(), MSG_NOSIGNAL);
    if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
    if (n < 0 && errno != EAGAIN) return fail(fmt::format("send: {}", std::strerror(errno)));
    pollfd room{to.fd(), POLLOUT, 0};
    if (n < 0 && ::poll(&room, 1, 60'000) != 1) return fail("send: no room within a minute");
  }
  return {};
}

std::string octets(std::size_t size, std::uint64_t seed) {
  Rng random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random.next());
  return text;
}

/// The answer, in pieces, and what of it `asker` has written.
Outcome<std::string> answer(Tcp& server, lab::Process& asker) {
  std::string said;
  for (int i = 0; i <= kPieces; ++i) {
    const std::string piece = octets(i < kPieces ? 1000 : 1'000'000, static_cast<std::uint64_t>(i));
    if (auto sent = send_all(server, piece); !sent)
      return fail(fmt::format("piece {}: {}", i, sent.error().message));
    said += piece;
    if (!lab::wait_until([&] { return asker.output().size() >= said.size(); }, kBound))
      return fail(fmt::format("of {} octets {} arrived; {}", said.size(), asker.output().size(),
                              asker.errors()));
  }
  return said;
}

}  // namespace

Outcome<void> ask_end_and_be_answered(const lab::Host& guest, const std::string& address,
                                      std::uint16_t port, Tcp& listener) {
  const std::string at = std::to_string(port);
  auto asker = guest.start({.argv = {"nc", "-N", address, at}, .input = kRequest});
  if (!asker) return std::unexpected(asker.error());
  auto server = listener.accept(kBound);
  if (!server) return std::unexpected(server.error());
  if (auto heard = server->receive(std::strlen(kRequest), kBound); !heard)
    return std::unexpected(heard.error());
  const auto acknowledged = [&] {
    const auto told = guest.output_of({"ss", "-Htn", "state", "fin-wait-2", "dport = :" + at});
    return told && !told->empty();
  };
  if (!lab::wait_until(acknowledged, kBound)) return fail("the end was not acknowledged");
  const auto said = answer(*server, *asker);
  if (!said) return std::unexpected(said.error());
  server->shut_writing();
  if (auto ended = asker->wait_ok(kBound); !ended) return std::unexpected(ended.error());
  if (asker->output() != *said) return fail("what arrived is not what was sent");
  const auto end = server->receive(UINT64_MAX, kBound);
  if (!end) return fail(fmt::format("the asker's end: {}", end.error().message));
  return end->octets == 0 ? Outcome<void>{} : fail("the server heard more than was said");
}

}  // namespace vtl::test
