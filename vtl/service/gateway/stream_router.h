// StreamRouter: which of the gateways that share a peer gets a stream that the peer opens.
//
// Theory of operation. The stream's preface says where the client wants to go. In this order:
//   1. the gateway whose `guest_networks` hold that address, the longest prefix first;
//   2. of the gateways without `guest_networks`: the one on whose guest side the host was heard;
//   3. all of those are asked to look for it (ARP, neighbour discovery), and the first whose guest
//      side answers gets the stream.
// Nobody: the opener is told that the network cannot be reached; nobody answers: the host.
//
// One for each peer, shared by the gateways that name it, on all workers. Thread rule: join() and
// leave() on the worker of the transport that is given; under a lock, which is never held while a
// gateway is called. Everything else happens on that worker.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "vtl/service/gateway/preface.h"
#include "vtl/transport/transport.h"
#include "vtl/wire/ip_network.h"

namespace vtl::service {

/// A gateway, as the router sees it.
class StreamTaker {
 public:
  virtual ~StreamTaker() = default;
  [[nodiscard]] virtual const std::vector<wire::IpNetwork>& guest_networks() const noexcept = 0;
  /// The server of this connection was heard on the guest side; frames for it do not count.
  [[nodiscard]] virtual bool knows_server(const Preface& preface) = 0;
  /// Looks for the server on the guest side; answers now or later, or never once destroyed.
  virtual void find_server(const Preface& preface, std::function<void(bool found)> answer) = 0;
  virtual void take_stream(std::unique_ptr<transport::IncomingStream> incoming,
                           const Preface& preface) = 0;
  /// A stream for none of the peer's gateways, or one whose preface made no sense: counted here.
  virtual void refused_stream(bool bad_preface) noexcept = 0;
};

class StreamRouter {
 public:
  void join(StreamTaker& taker, transport::Transport& transport);
  void leave(StreamTaker& taker, transport::Transport& transport);

 private:
  struct Desk;  // the takers of one worker
  static void route(const std::shared_ptr<Desk>& desk,
                    std::unique_ptr<transport::IncomingStream> incoming);

  std::mutex mutex_;
  std::map<const transport::Transport*, std::shared_ptr<Desk>> desks_;
};

}  // namespace vtl::service
