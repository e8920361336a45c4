#include "vtl/cli/query.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "vtl/cli/app.h"
#include "vtl/cli/table.h"
#include "vtl/control/client.h"
#include "vtl/control/dump_tally.h"

namespace vtl::cli {
namespace {

using control::Request;
using Json = nlohmann::ordered_json;

int failed(const std::string& message) {
  fmt::print(stderr, "vtl: {}\n", message);
  return kFailure;
}

// Asks, then prints the JSON as it is or what `print` makes of it.
template <class Print>
int show(const QueryArguments& arguments, const Request& request, Print print) {
  const auto answer = control::ask(arguments.socket, request);
  if (!answer) return failed(answer.error().message);
  if (arguments.json) {
    fmt::print("{}\n", *answer);
    return kSuccess;
  }
  // The running vtl may be of another version: a field that is not there is no crash.
  try {
    print(Json::parse(*answer));
  } catch (const nlohmann::json::exception&) {
    return failed(
        "the running vtl answers in a form that this one does not know; use --json, or "
        "the same version of both");
  }
  return kSuccess;
}

void print_table(const std::string& title, const Table& table) {
  if (table.empty()) return;
  fmt::print("{}{}\n", title.empty() ? "" : title + "\n", table.render(stdout_takes_colour()));
}

std::string text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : "-";
}
std::string number(const Json& value) {
  return fmt::format("{}", value.get<std::uint64_t>());
}
std::string octets(const Json& value) {
  return human_octets(value.get<std::uint64_t>());
}
std::string time(const Json& value) {
  return value.is_number() ? human_seconds(value.get<double>()) : "-";
}

// How Tor is, in one cell.
std::string tor_state(const Json& tor) {
  if (tor.is_null()) return "-";
  if (!tor.at("reachable").get<bool>()) return text(tor.at("error"));
  if (const auto percent = tor.at("bootstrap").get<unsigned>(); percent < 100) {
    return fmt::format("starting, {} %: {}", percent, text(tor.at("bootstrap_summary")));
  }
  return fmt::format("{}, circuits: {}",
                     tor.at("circuit_established").get<bool>() ? "ready" : "no circuit",
                     number(tor.at("circuits_built")));
}

void print_proxies(const Json& status) {
  Table proxies({{"PROXY"},
                 {"TYPE"},
                 {"ADDRESS"},
                 {"STATE"},
                 {"TOR"},
                 {"STREAMS", Align::kRight},
                 {"OPENED", Align::kRight},
                 {"REFUSED", Align::kRight},
                 {"RESET", Align::kRight},
                 {"OUT", Align::kRight},
                 {"IN", Align::kRight}});
  std::string notes;
  for (const auto& proxy : status.at("proxies")) {
    const bool up = proxy.at("up").get<bool>();
    const char* const when_up = proxy.at("tried").get<bool>() ? "up" : "untried";
    if (!up) {
      notes += fmt::format("proxy '{}': {}; what needs it is refused\n", text(proxy.at("name")),
                           text(proxy.at("error")));
    }
    proxies.add_row({text(proxy.at("name")), text(proxy.at("type")), text(proxy.at("address")),
                     up ? when_up : "down", tor_state(proxy.at("tor")), number(proxy.at("streams")),
                     number(proxy.at("opened")), number(proxy.at("refused")),
                     number(proxy.at("reset")), octets(proxy.at("bytes_out")),
                     octets(proxy.at("bytes_in"))});
  }
  print_table("", proxies);
  fmt::print("{}", notes);
}

// Whether the host is kept away from the interface's device; `notes` gets the reason where it
// should be and is not.
std::string seal_state(const Json& interface, std::string& notes) {
  const auto& sealed = interface.at("sealed");
  if (sealed.is_null()) return "-";
  if (sealed.get<bool>()) return "yes";
  notes += fmt::format("interface '{}' is not sealed: {}\n", text(interface.at("name")),
                       text(interface.at("unsealed_because")));
  return "no";
}

void print_interfaces(const Json& status) {
  Table interfaces({{"INTERFACE"},
                    {"DEVICE"},
                    {"STATE"},
                    {"SEALED"},
                    {"MTU", Align::kRight},
                    {"RX FRAMES", Align::kRight},
                    {"RX", Align::kRight},
                    {"TX FRAMES", Align::kRight},
                    {"TX", Align::kRight},
                    {"DROPS", Align::kRight}});
  std::string notes;
  for (const auto& i : status.at("interfaces")) {
    interfaces.add_row({text(i.at("name")), text(i.at("device")), text(i.at("state")),
                        seal_state(i, notes), number(i.at("mtu")), number(i.at("rx_frames")),
                        octets(i.at("rx_bytes")), number(i.at("tx_frames")),
                        octets(i.at("tx_bytes")), number(i.at("drops"))});
    if (text(i.at("state")) == "closed" && !i.at("sealed").is_null()) {
      notes += fmt::format(
          "interface '{}': its device was removed; several workers cannot go on with "
          "another of its name: restart vtl\n",
          text(i.at("name")));
    }
  }
  print_table("", interfaces);
  fmt::print("{}", notes);
}

void print_status(const Json& status) {
  fmt::print("running for {}, workers: {}\n\n", time(status.at("running_for")),
             status.at("workers").get<std::uint64_t>());
  print_interfaces(status);
  Table links({{"LINK"},
               {"GUEST"},
               {"NETWORK"},
               {"SERVICES"},
               {"CUT THROUGH"},
               {"OUT", Align::kRight},
               {"IN", Align::kRight}});
  std::string notes;
  for (const auto& link : status.at("links")) {
    std::vector<std::string> services = link.at("services");
    const auto& cut = link.at("cut_through");
    std::string state = cut.at("state");
    if (state == "on") state = fmt::format("on, flows: {}", cut.at("flows").get<std::uint64_t>());
    if (state == "missing") {
      notes += fmt::format("link '{}': {}\n", text(link.at("name")), text(cut.at("reason")));
      state = "no";
    }
    links.add_row({text(link.at("name")), text(link.at("guest")), text(link.at("network")),
                   services.empty() ? "(bridge)" : fmt::format("{}", fmt::join(services, " ")),
                   state, octets(link.at("bytes_out")), octets(link.at("bytes_in"))});
  }
  print_table("", links);
  fmt::print("{}", notes);
  Table peers({{"PEER"},
               {"TRANSPORT"},
               {"STATE"},
               {"OPENED", Align::kRight},
               {"ACCEPTED", Align::kRight},
               {"REFUSED", Align::kRight},
               {"RESET", Align::kRight},
               {"OUT", Align::kRight},
               {"IN", Align::kRight},
               {"WINDOWS", Align::kRight}});
  for (const auto& peer : status.at("peers")) {
    peers.add_row({text(peer.at("name")), text(peer.at("transport")),
                   peer.at("up").get<bool>() ? "up" : "down", number(peer.at("opened")),
                   number(peer.at("accepted")), number(peer.at("refused")),
                   number(peer.at("reset")), octets(peer.at("bytes_out")),
                   octets(peer.at("bytes_in")), octets(peer.at("window_bytes"))});
  }
  print_table("", peers);
  print_proxies(status);
}

void print_flows(const Json& listing) {
  Table flows({{"LINK"},
               {"PROTO"},
               {"SOURCE"},
               {"DESTINATION"},
               {"STATE"},
               {"OUT", Align::kRight},
               {"IN", Align::kRight},
               {"RTT GUEST", Align::kRight},
               {"RTT NETWORK", Align::kRight},
               {"AGE", Align::kRight},
               {"TRANSFORMED"}});
  for (const auto& flow : listing.at("flows")) {
    flows.add_row({text(flow.at("link")), text(flow.at("protocol")), text(flow.at("source")),
                   text(flow.at("destination")), text(flow.at("state")),
                   octets(flow.at("bytes_out")), octets(flow.at("bytes_in")),
                   time(flow.at("rtt_guest")), time(flow.at("rtt_network")), time(flow.at("age")),
                   text(flow.at("transform"))});
  }
  print_table("", flows);
  const auto total = listing.at("total").get<std::size_t>();
  const auto shown = listing.at("flows").size();
  fmt::print("{} flows{}\n", total,
             shown < total ? fmt::format(", the first {} are shown", shown) : "");
}

void add_drops(Table& table, const std::string& place, const Json& drops) {
  for (const auto& [reason, count] : drops.items()) {
    table.add_row({place, reason, number(count)});
  }
}

void print_stats(const Json& stats) {
  Table counters({{"INTERFACE"}, {"COUNTER"}, {"VALUE", Align::kRight}});
  Table drops({{"PLACE"}, {"DROPPED BECAUSE"}, {"FRAMES", Align::kRight}});
  for (const auto& i : stats.at("interfaces")) {
    for (const char* key :
         {"reseals", "rx_frames", "rx_bytes", "rx_super_frames", "rx_missed", "rx_paused",
          "tx_frames", "tx_bytes", "tx_super_frames", "tx_backlog", "tx_blocked"}) {
      counters.add_row({text(i.at("name")), key, number(i.at(key))});
    }
    add_drops(drops, "interface " + text(i.at("name")), i.at("drops"));
  }
  for (const auto& link : stats.at("links")) {
    const auto place = "link " + text(link.at("name"));
    add_drops(drops, place, link.at("drops"));
    for (const auto& service : link.at("services")) {
      add_drops(drops, place + ", " + text(service.at("kind")), service.at("drops"));
    }
  }
  for (const auto& uplink : stats.at("uplinks")) {
    add_drops(drops, "uplink " + text(uplink.at("interface")), uplink.at("drops"));
  }
  Table services({{"LINK"}, {"SERVICE"}, {"METRIC"}, {"VALUE", Align::kRight}});
  for (const auto& group : stats.at("services")) {
    for (const auto& [metric, value] : group.at("metrics").items()) {
      services.add_row({text(group.at("link")), text(group.at("service")), metric,
                        fmt::format("{}", value.get<double>())});
    }
  }
  print_table("", counters);
  print_table("", services);
  print_table("", drops);
  if (drops.empty()) fmt::print("no frame was dropped\n");
}

// The dump that a signal is to end. A handler can reach nothing else.
volatile std::sig_atomic_t ended_dump = -1;

// The first signal asks vtl for the rest and the counts; a second one ends the process.
void end_dump_on_signal(int dump) {
  ended_dump = dump;
  struct sigaction action{};
  action.sa_handler = [](int) { shutdown(ended_dump, SHUT_WR); };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

// What a person wants to know at the end, where it does not mix with the frames.
int tell_tally(const control::DumpTally& tally) {
  fmt::print(stderr, "{} frames captured\n{} frames dropped{}\n", tally.frames(), tally.dropped(),
             tally.dropped() > 0 ? ": they came faster than they were written; --snap and --filter "
                                   "make less of them"
                                 : "");
  return kSuccess;
}

}  // namespace

int show_status(const QueryArguments& arguments) {
  return show(arguments, {.command = Request::Command::kStatus}, print_status);
}

int show_flows(const QueryArguments& arguments) {
  return show(arguments, {.command = Request::Command::kFlows}, print_flows);
}

int show_stats(const QueryArguments& arguments) {
  return show(arguments, {.command = Request::Command::kStats}, print_stats);
}

int ask_to_stop(const QueryArguments& arguments) {
  return show(arguments, {.command = Request::Command::kStop},
              [](const Json&) { fmt::print("stopping\n"); });
}

int ask_to_act(const QueryArguments& arguments, const control::ActRequest& request,
               std::string_view done) {
  const control::Request asked{.command = Request::Command::kAct, .act = request};
  return show(arguments, asked, [&](const Json&) { fmt::print("{}\n", done); });
}

int run_dump(const std::string& socket, const control::DumpRequest& request,
             const std::string& file) {
  if (file == "-" && isatty(STDOUT_FILENO) == 1) {
    fmt::print(stderr,
               "vtl: pcapng is not for a terminal; say -w FILE, or pipe it: "
               "vtl dump LINK | tcpdump -r -\n");
    return kUsage;
  }
  const auto dump = control::open_dump(socket, request);
  if (!dump) return failed(dump.error().message);
  control::Descriptor opened;
  int out = STDOUT_FILENO;
  if (file != "-") {
    opened =
        control::Descriptor(open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!opened) return failed(fmt::format("{}: {}", file, std::strerror(errno)));
    out = opened.get();
  }
  end_dump_on_signal(dump->get());
  control::DumpTally tally;
  std::array<std::uint8_t, 65536> chunk;
  for (;;) {
    const auto n = read(dump->get(), chunk.data(), chunk.size());
    if (n == 0) return tell_tally(tally);  // asked to end, or vtl has stopped
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(fmt::format("control socket {}: {}", socket, std::strerror(errno)));
    tally.take(Bytes(chunk).first(static_cast<std::size_t>(n)));
    for (ssize_t written = 0; written < n;) {
      const auto m = write(out, chunk.data() + written, static_cast<std::size_t>(n - written));
      if (m < 0 && errno == EINTR) continue;
      if (m < 0) return failed(fmt::format("{}: {}", file, std::strerror(errno)));
      written += m;
    }
  }
}

}  // namespace vtl::cli
