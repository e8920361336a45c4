// FakeSource: fixed values for the control surfaces to tell.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include "vtl/control/source.h"

namespace vtl::control {

/// A dump that holds `text` and then nothing more; finished, it ends with "the end".
class FakeDump final : public Dump {
 public:
  explicit FakeDump(std::string text) : text_(std::move(text)) {
    if (pipe(pipe_) == 0 && write(pipe_[1], "x", 1) != 1) text_.clear();
  }
  ~FakeDump() override {
    close(pipe_[0]);
    close(pipe_[1]);
  }
  [[nodiscard]] int fd() const noexcept override { return pipe_[0]; }
  [[nodiscard]] std::size_t read(MutableBytes out) override {
    const auto n = std::min(out.size(), text_.size());
    std::memcpy(out.data(), text_.data(), n);
    text_.erase(0, n);
    if (text_.empty()) {
      char octet = 0;
      if (!drained_) drained_ = ::read(pipe_[0], &octet, 1) == 1;
    }
    return n;
  }
  void finish() override { text_ += "the end"; }

 private:
  std::string text_;
  int pipe_[2] = {-1, -1};
  bool drained_ = false;
};

class FakeSource final : public Source {
 public:
  [[nodiscard]] engine::Status status() override { return status_value; }
  [[nodiscard]] std::vector<engine::FlowInfo> list_flows() override { return flows_value; }
  [[nodiscard]] std::vector<engine::MetricGroup> list_metrics() override { return metrics_value; }
  [[nodiscard]] Outcome<std::unique_ptr<Dump>> open_dump(const DumpRequest& request) override {
    if (request.link != "vm1") return fail("no link '" + request.link + "'; there is vm1");
    return std::make_unique<FakeDump>(dump_value);
  }
  [[nodiscard]] Outcome<void> act(const ActRequest& request) override {
    acted = request;
    if (request.action == "new-identity") return {};
    return fail("no action '" + request.action + "'");
  }
  void request_stop() override { stop_requested = true; }

  engine::Status status_value;
  std::vector<engine::FlowInfo> flows_value;
  std::vector<engine::MetricGroup> metrics_value;
  std::string dump_value;
  ActRequest acted;
  std::atomic<bool> stop_requested{false};
};

/// A status with one of everything, drops included.
inline engine::Status sample_status() {
  engine::Status status;
  status.running_for = 90s;
  engine::InterfaceStatus guest;
  guest.name = "vm1";
  guest.device = "tap-vm1";
  guest.up = true;
  guest.workers = 1;
  guest.rx_frames = 10;
  guest.rx_bytes = 15000;
  guest.drops = {{DropReason::kMalformedIp, 3}};
  status.interfaces = {guest};
  engine::LinkStatus link;
  link.name = "vm1";
  link.guest = "vm1";
  link.network = "uplink";
  link.workers = 1;
  link.frames_out = 10;
  link.services = {{.kind = "gateway", .drops = {{DropReason::kMemoryBound, 2}}}};
  status.links = {link};
  engine::PeerStatus peer;
  peer.name = "siteb";
  peer.kind = "udt";
  peer.up = true;
  peer.opened = 4;
  status.peers = {peer};
  engine::ProxyStatus proxy;
  proxy.name = "tor";
  proxy.proxy.kind = "tor";
  proxy.proxy.address = *wire::SocketAddress::parse("127.0.0.1:9050");
  proxy.proxy.up = true;
  proxy.proxy.tried = true;
  proxy.proxy.streams = 3;
  proxy.opened = 9;
  proxy.proxy.tor = {.reachable = true,
                     .error = {},
                     .version = "0.4.8",
                     .bootstrap = 100,
                     .bootstrap_summary = "Done",
                     .circuit_established = true,
                     .circuits_built = 5,
                     .circuits_building = 1};
  status.proxies = {proxy};
  status.workers = {{.number = 0, .buffer_bytes = 4096}};
  return status;
}

inline engine::FlowInfo sample_flow() {
  engine::FlowInfo flow;
  flow.link = "vm1";
  flow.key.source = *wire::SocketAddress::parse("192.0.2.1:4000");
  flow.key.destination = *wire::SocketAddress::parse("198.51.100.2:80");
  flow.state = "established";
  flow.bytes_out = 100;
  flow.rtt_guest = 500us;
  flow.transform = "udt to siteb";
  flow.age = 2s;
  return flow;
}

}  // namespace vtl::control
