// What an author of a service does with the installed package: a frame made by a model, read
// through the packet's access functions, and a service of his own.
#include <vtl/base/time.h>
#include <vtl/engine/service.h>
#include <vtl/model/tcp_model.h>
#include <vtl/packet/packet.h>
#include <vtl/service/filter.h>
#include <vtl/wire/addresses.h>

#include <array>
#include <cstdio>

namespace {

class CountSyns final : public vtl::engine::Service {
 public:
  [[nodiscard]] std::string_view kind() const noexcept override { return "count_syns"; }
  void start(vtl::engine::ServiceContext&) override {}
  void process(vtl::engine::Direction, vtl::Batch& batch) override {
    for (const auto& packet : batch) {
      syns += filter->matches(packet.bytes(), packet.layout()) ? 1 : 0;
    }
  }
  vtl::Outcome<vtl::service::Filter> filter =
      vtl::service::Filter::compile("tcp[tcpflags] & tcp-syn != 0");
  int syns = 0;
};

}  // namespace

int main() {
  vtl::model::TcpEndSetup client, server;
  client.address = *vtl::wire::SocketAddress::parse("192.0.2.1:4000");
  server.address = *vtl::wire::SocketAddress::parse("198.51.100.2:80");
  auto connection = vtl::model::TcpModel::initialise(client, server, false);
  std::array<std::uint8_t, 256> frame;
  const auto size =
      connection.create(vtl::model::End::kA, {.flags = {vtl::wire::TcpFlags::kSyn}}, frame);
  if (!size) return 1;

  vtl::PacketPool pool;
  vtl::Batch batch;
  batch.push_back(pool.copy_of(vtl::Bytes(frame).first(*size)));
  CountSyns service;
  if (!service.filter) return 2;
  service.process(vtl::engine::Direction::kOutbound, batch);
  std::printf("%s: %d SYN\n", to_string(connection.flow(vtl::model::End::kA)).c_str(),
              service.syns);
  return service.syns == 1 ? 0 : 3;
}
