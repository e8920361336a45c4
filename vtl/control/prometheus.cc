// The Prometheus text format: every family once, with its help and type, then its samples.

#include <fmt/format.h>

#include <initializer_list>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vtl/control/listings.h"

namespace vtl::control {
namespace {

struct Family {
  std::string help;
  bool counter = true;
  std::vector<std::string> samples;
};

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

class Exposition {
 public:
  void add(const std::string& name, std::string_view help, bool counter, Labels labels,
           double value) {
    auto& family = families_[name];
    if (family.samples.empty()) {
      family.help = help;
      family.counter = counter;
    }
    std::string sample = name;
    char separator = '{';
    for (const auto& [key, text] : labels) {
      fmt::format_to(std::back_inserter(sample), "{}{}=\"{}\"", separator, key, escape(text));
      separator = ',';
    }
    if (separator == ',') sample += '}';
    fmt::format_to(std::back_inserter(sample), " {}\n", value);
    family.samples.push_back(std::move(sample));
  }

  [[nodiscard]] std::string text() const {
    std::string out;
    for (const auto& [name, family] : families_) {
      fmt::format_to(std::back_inserter(out), "# HELP {} {}\n# TYPE {} {}\n", name, family.help,
                     name, family.counter ? "counter" : "gauge");
      for (const auto& sample : family.samples) out += sample;
    }
    return out;
  }

 private:
  static std::string escape(std::string_view text) {
    std::string out;
    for (const char c : text) {
      if (c == '\\' || c == '"') out += '\\';
      if (c == '\n') {
        out += "\\n";
      } else {
        out += c;
      }
    }
    return out;
  }

  std::map<std::string, Family> families_;
};

void add_drops(Exposition& out, std::string_view kind, std::string_view where,
               std::string_view service, const engine::DropList& drops) {
  for (const auto& [reason, count] : drops) {
    out.add("vtl_drops_total", "Frames let go, by place and reason.", true,
            {{kind, where}, {"service", service}, {"reason", name(reason)}},
            static_cast<double>(count));
  }
}

void add_interfaces(Exposition& out, const engine::Status& status) {
  for (const auto& i : status.interfaces) {
    const auto counter = [&](const char* name, const char* help, std::uint64_t value) {
      out.add(name, help, true, {{"interface", i.name}}, static_cast<double>(value));
    };
    counter("vtl_interface_rx_frames_total", "Frames read; a super-frame counts once.",
            i.rx_frames);
    counter("vtl_interface_rx_bytes_total", "Octets read.", i.rx_bytes);
    counter("vtl_interface_rx_missed_total", "Frames lost before VTL could read them.",
            i.rx_missed);
    counter("vtl_interface_tx_frames_total", "Frames written; a super-frame counts once.",
            i.tx_frames);
    counter("vtl_interface_tx_bytes_total", "Octets written.", i.tx_bytes);
    counter("vtl_interface_tx_blocked_total", "How often the transmit queue was full.",
            i.tx_blocked);
    out.add("vtl_interface_up", "1 while the carrier is up.", false, {{"interface", i.name}},
            i.up && !i.closed ? 1 : 0);
    if (i.seal) {
      counter("vtl_interface_reseals_total",
              "How often a seal that the device had lost was put back.", i.seal->reseals);
      out.add("vtl_interface_sealed", "1 while the host is kept away from the device.", false,
              {{"interface", i.name}}, i.seal->whole ? 1 : 0);
    }
    out.add("vtl_interface_tx_backlog", "Frames waiting for the transmit queue.", false,
            {{"interface", i.name}}, static_cast<double>(i.tx_backlog));
    add_drops(out, "interface", i.name, "", i.drops);
  }
}

void add_links(Exposition& out, const engine::Status& status) {
  for (const auto& link : status.links) {
    const auto counter = [&](const char* name, const char* help, std::string_view direction,
                             std::uint64_t value) {
      out.add(name, help, true, {{"link", link.name}, {"direction", direction}},
              static_cast<double>(value));
    };
    counter("vtl_link_frames_total", "Frames that entered the link.", "outbound", link.frames_out);
    counter("vtl_link_frames_total", "Frames that entered the link.", "inbound", link.frames_in);
    counter("vtl_link_bytes_total", "Octets that entered the link.", "outbound", link.bytes_out);
    counter("vtl_link_bytes_total", "Octets that entered the link.", "inbound", link.bytes_in);
    constexpr auto kCut = "vtl_link_cut_through_bytes_total";
    constexpr auto kCutHelp = "Octets of these that the kernel forwarded by itself.";
    counter(kCut, kCutHelp, "outbound", link.cut_bytes_out);
    counter(kCut, kCutHelp, "inbound", link.cut_bytes_in);
    add_drops(out, "link", link.name, "", link.drops);
    for (const auto& service : link.services) {
      add_drops(out, "link", link.name, service.kind, service.drops);
    }
  }
}

void add_peers(Exposition& out, const engine::Status& status) {
  for (const auto& peer : status.peers) {
    const auto counter = [&](const char* name, const char* help, std::uint64_t value) {
      out.add(name, help, true, {{"peer", peer.name}}, static_cast<double>(value));
    };
    out.add("vtl_peer_up", "1 while the peer can be reached.", false, {{"peer", peer.name}},
            peer.up ? 1 : 0);
    counter("vtl_peer_streams_opened_total", "Streams opened to the peer.", peer.opened);
    counter("vtl_peer_streams_accepted_total", "Streams accepted from the peer.", peer.accepted);
    counter("vtl_peer_streams_refused_total", "Streams refused, either way.", peer.refused);
    counter("vtl_peer_streams_reset_total", "Streams that broke.", peer.reset);
    counter("vtl_peer_authentication_failures_total", "Peers that did not know the key.",
            peer.authentication_failures);
    counter("vtl_peer_bytes_out_total", "Octets written to the peer's streams.", peer.bytes_out);
    counter("vtl_peer_bytes_in_total", "Octets read from the peer's streams.", peer.bytes_in);
    out.add("vtl_peer_window_bytes", "Octets that the peer may have under way toward here.", false,
            {{"peer", peer.name}}, static_cast<double>(peer.window_bytes));
    counter("vtl_peer_window_limited_total", "Windows that the peer's memory kept from growing.",
            peer.window_limited);
    counter("vtl_peer_memory_refused_total", "Streams refused because the peer's memory was spent.",
            peer.memory_refused);
    if (!peer.rate) continue;
    counter("vtl_peer_udt_packets_sent_total",
            "Data packets sent from the UDT port; the port's, told for each peer on it.",
            peer.rate->packets_sent);
    counter("vtl_peer_udt_packets_lost_total",
            "Data packets reported lost; the port's, told for each peer on it.",
            peer.rate->packets_lost);
    counter("vtl_peer_udt_reductions_total",
            "Times that loss made the rate control slower; the port's, told for each peer on it.",
            peer.rate->reductions);
    counter("vtl_peer_udt_timeouts_total",
            "Times that all was sent again after silence; the port's, told for each peer on it.",
            peer.rate->timeouts);
  }
}

void add_proxies(Exposition& out, const engine::Status& status) {
  for (const auto& p : status.proxies) {
    const auto counter = [&](const char* name, const char* help, std::uint64_t value) {
      out.add(name, help, true, {{"proxy", p.name}}, static_cast<double>(value));
    };
    const auto gauge = [&](const char* name, const char* help, double value) {
      out.add(name, help, false, {{"proxy", p.name}}, value);
    };
    gauge("vtl_proxy_up", "1 while the proxy can be reached.", p.proxy.up ? 1 : 0);
    gauge("vtl_proxy_streams", "Streams now, those that are being opened included.",
          static_cast<double>(p.proxy.streams));
    counter("vtl_proxy_streams_opened_total", "Streams that the proxy connected.", p.opened);
    counter("vtl_proxy_streams_refused_total", "Streams that the proxy refused.", p.refused);
    counter("vtl_proxy_streams_reset_total", "Streams that broke.", p.reset);
    counter("vtl_proxy_streams_timed_out_total", "Streams without an answer in time.", p.timed_out);
    counter("vtl_proxy_streams_limited_total", "Streams refused at the bound.", p.limited);
    counter("vtl_proxy_connect_failures_total", "Attempts to reach the proxy that failed.",
            p.connect_failures);
    counter("vtl_proxy_protocol_errors_total", "Answers that were not SOCKS 5.", p.protocol_errors);
    counter("vtl_proxy_look_ups_total", "Names and addresses looked up at the proxy.", p.look_ups);
    counter("vtl_proxy_bytes_out_total", "Octets written to the proxy's streams.", p.bytes_out);
    counter("vtl_proxy_bytes_in_total", "Octets read from the proxy's streams.", p.bytes_in);
    if (!p.proxy.tor) continue;
    gauge("vtl_proxy_tor_bootstrap_ratio", "How far Tor has come with its start.",
          p.proxy.tor->bootstrap / 100.0);
    gauge("vtl_proxy_tor_circuits", "Circuits that Tor has built and holds.",
          p.proxy.tor->circuits_built);
  }
}

}  // namespace

std::string prometheus_text(const engine::Status& status,
                            const std::vector<engine::MetricGroup>& metrics) {
  Exposition out;
  out.add("vtl_uptime_seconds", "Since everything was open.", false, {},
          std::chrono::duration<double>(status.running_for).count());
  for (const auto& worker : status.workers) {
    out.add("vtl_worker_buffer_bytes", "Packet memory in use.", false,
            {{"worker", std::to_string(worker.number)}}, static_cast<double>(worker.buffer_bytes));
  }
  add_interfaces(out, status);
  add_links(out, status);
  add_peers(out, status);
  add_proxies(out, status);
  for (const auto& uplink : status.uplinks) {
    add_drops(out, "uplink", uplink.interface, "", uplink.drops);
  }
  for (const auto& group : metrics) {
    for (const auto& metric : group.metrics) {
      out.add("vtl_" + group.service + "_" + metric.name, metric.help, metric.is_counter,
              {{"link", group.link}}, metric.value);
    }
  }
  return out.text();
}

}  // namespace vtl::control
