// The classic use of a model: to speak inside a live TCP connection in the place of one end.
//
// usage: inject_data CLIENT_SIDE SERVER_SIDE PORT to-server|to-client TEXT
//
// It stands between two devices and passes every frame on. It meets the first connection to PORT,
// follows it until there is room in the receiver's window, and then makes a packet with TEXT that
// the receiving kernel takes for the other end's. The model follows its own packet too, so it sees
// the receiver acknowledge what the genuine end never sent.
#include <poll.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "vtl/base/time.h"
#include "vtl/iface/af_packet.h"
#include "vtl/model/tcp_model.h"

using namespace vtl;
using model::End;
using model::TcpModel;

namespace {

void follow(std::optional<TcpModel>& connection, const Packet& packet, wire::Port port) {
  const bool is_super = packet.meta().gso.is_super();
  if (connection) {
    connection->sync(packet.bytes(), is_super);
  } else if (const auto met = TcpModel::initialise(packet.bytes(), is_super)) {
    if (met->flow(End::kA).destination.port == port) connection = *met;  // A is the client
  }
}

int complain(std::string_view why) {
  return std::fprintf(stderr, "inject_data: %.*s\n", static_cast<int>(why.size()), why.data()), 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return complain("give CLIENT_SIDE SERVER_SIDE PORT to-server|to-client TEXT");
  const wire::Port port(static_cast<std::uint16_t>(std::atoi(argv[3])));
  const std::size_t target = argv[4] == std::string_view("to-server") ? 1 : 0;
  const End speaker = target == 1 ? End::kA : End::kB;
  const std::string_view text = argv[5];
  const Bytes payload(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());

  const SystemClock clock;
  PacketPool pool;
  std::array<std::unique_ptr<iface::Interface>, 2> sides;
  for (std::size_t i = 0; i < 2; ++i) {
    auto opened = iface::open_af_packet({.device = argv[1 + i]});
    if (!opened) return complain(opened.error().message);
    sides[i] = std::move(*opened);
  }
  std::fputs("watching\n", stderr);

  std::optional<TcpModel> connection;
  bool injected = false;
  for (const Time end = clock.now() + 30s; clock.now() < end;) {
    std::array<pollfd, 2> ready{{{sides[0]->fd(), POLLIN, 0}, {sides[1]->fd(), POLLIN, 0}}};
    ::poll(ready.data(), ready.size(), 100);
    for (std::size_t i = 0; i < 2; ++i) {
      Batch batch;
      (void)sides[i]->read(pool, clock.now(), batch);
      for (const Packet& packet : batch) follow(connection, packet, port);
      (void)sides[1 - i]->write(batch);  // what finds no room is lost, as on any wire
    }
    if (!connection) continue;
    if (injected && connection->in_flight(speaker) == 0) {
      return std::printf("the receiver has acknowledged %zu octets\n", text.size()), 0;
    }
    if (injected || connection->usable_window(speaker) < text.size()) continue;
    Packet packet = pool.allocate(2048);
    const auto size = connection->create(speaker, {.payload = payload}, packet.mutable_bytes());
    if (!size) return complain(to_string(size.error()));
    packet.resize(*size);
    injected = sides[target]->write({&packet, 1}) == 1;
  }
  return complain("no connection took the text in 30 s");
}
