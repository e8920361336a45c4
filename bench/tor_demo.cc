#include "bench/tor_demo.h"

#include <fmt/format.h>

#include <charconv>

#include "bench/progress.h"
#include "lab/name_server.h"
#include "lab/tor_network.h"
#include "lab/vtl_program.h"
#include "lab/wait.h"
#include "lab/web_server.h"

namespace vtl::bench {
namespace {

using lab::TorNetwork;

constexpr const char* kPlain = "plain";
constexpr const char* kVtl = "vtl-tor";
constexpr const char* kGuestAddress = "10.137.0.9";
constexpr int kSteps = 6;

/// What one case gave.
struct Seen {
  double seconds = 0;
  std::string visitor;  ///< as the server's log tells it
  bool onion = false, ping = false;
};

class Scene {
 public:
  Outcome<void> build(Progress& progress);
  Outcome<void> start_plain();
  Outcome<void> start_vtl();
  Outcome<Seen> try_all(const std::string& mark);
  Outcome<std::string> new_identity();
  [[nodiscard]] const std::string& onion() const { return tor_->onion(); }

 private:
  Outcome<double> fetch(const std::string& url);
  Outcome<std::string> circuits();

  lab::Lab lab_;
  lab::Host* guest_ = nullptr;
  lab::Host* host_ = nullptr;
  lab::Host* server_ = nullptr;
  std::optional<TorNetwork> tor_;
  std::optional<lab::WebServer> web_;
  std::optional<lab::Process> names_, vtl_;
};

Outcome<void> Scene::build(Progress& progress) {
  for (const auto& [name, host, router] :
       {std::tuple{"guest", &guest_, false}, std::tuple{"host", &host_, true},
        std::tuple{"server", &server_, false}}) {
    auto made = lab_.add_host(name, {.router = router});
    if (!made) return std::unexpected(made.error());
    *host = *made;
  }
  progress.begin("a private Tor network of seven processes");
  const SystemClock clock;
  const Time begin = clock.now();
  auto tor = TorNetwork::start(lab_, *host_, *server_);
  if (!tor) return std::unexpected(tor.error());
  tor_.emplace(std::move(*tor));
  auto web = lab::WebServer::start(*server_);
  if (!web) return std::unexpected(web.error());
  web_.emplace(std::move(*web));
  if (auto known = tor_->wait_for_onion(); !known) return known;
  progress.end(fmt::format("3 authorities, 2 exits, onion service: {}",
                           time_span(std::chrono::duration<double>(clock.now() - begin).count())));
  for (auto joined : {lab_.connect({*guest_, "eth0"}, {*host_, "guest0"}),
                      lab_.connect({*host_, "up0"}, {*server_, "up0"})})
    if (!joined) return joined;
  if (auto done = guest_->ip(
          fmt::format("addr add {}/24 dev eth0\nroute add default via 10.137.0.1", kGuestAddress));
      !done)
    return done;
  if (auto done = host_->ip("addr add 10.137.0.1/24 dev guest0\naddr add 10.60.0.254/24 dev up0\n"
                            "route add 10.30.0.0/24 via 10.60.0.1");
      !done)
    return done;
  if (auto done = server_->ip("addr add 10.60.0.1/24 dev up0\n"
                              "route add 10.137.0.0/24 via 10.60.0.254");
      !done)
    return done;
  return lab::look_up_at(*guest_, "10.137.0.1");
}

/// A host as most are: it forwards its guest, and answers its look-ups.
Outcome<void> Scene::start_plain() {
  auto names =
      host_->start({.argv = {"dnsmasq", "--no-daemon", "--conf-file=", "--no-resolv", "--no-hosts",
                             "--listen-address=10.137.0.1", "--bind-interfaces", "--log-facility=-",
                             fmt::format("--host-record={},{}", TorNetwork::kServerName,
                                         TorNetwork::kServerAddress)},
                    .name = "names"});
  if (!names) return std::unexpected(names.error());
  names_.emplace(std::move(*names));
  return names_->wait_for_port(lab::Protocol::kUdp, 53, 5s);
}

Outcome<void> Scene::start_vtl() {
  auto vtl = lab::start_vtl(*host_, fmt::format(R"(interfaces:
  vm1: {{ type: af_packet, device: guest0 }}
proxies:
  tor: {{ type: tor, address: 127.0.0.1, port: 9050 }}
links:
  - name: vm1
    guest: vm1
    network: none
    services:
      - anonymizer: {{ proxies: [tor], isolation: destination }}
control: {{ socket: /run/vtl.sock }}
)"));
  if (!vtl) return std::unexpected(vtl.error());
  vtl_.emplace(std::move(*vtl));
  return {};
}

Outcome<double> Scene::fetch(const std::string& url) {
  const auto said =
      guest_->output_of({"curl", "--silent", "--show-error", "--fail", "--max-time", "60",
                         "--output", "/dev/null", "--write-out", "%{time_total}", url},
                        70s);
  if (!said) return std::unexpected(said.error());
  double seconds = 0;
  std::from_chars(said->data(), said->data() + said->size(), seconds);
  return seconds;
}

Outcome<Seen> Scene::try_all(const std::string& mark) {
  Seen seen;
  const auto seconds = fetch(fmt::format("http://{}/?{}", TorNetwork::kServerName, mark));
  if (!seconds) return std::unexpected(seconds.error());
  seen.seconds = *seconds;
  auto visitor = web_->visitor_of("/?" + mark);
  if (!visitor) return std::unexpected(visitor.error());
  seen.visitor = *visitor;
  seen.onion = fetch(fmt::format("http://{}/", tor_->onion())).has_value();
  seen.ping =
      guest_->output_of({"ping", "-c", "1", "-W", "2", TorNetwork::kServerAddress}).has_value();
  return seen;
}

/// The numbers of the circuits that carry somebody's streams.
Outcome<std::string> Scene::circuits() {
  const auto told = tor_->control("GETINFO circuit-status");
  if (!told) return told;
  std::string numbers;
  std::size_t at = 0;
  while (at < told->size()) {
    const std::size_t end = std::min(told->find('\n', at), told->size());
    const std::string line = told->substr(at, end - at);
    if (line.find("SOCKS_USERNAME") != std::string::npos)
      numbers += (numbers.empty() ? "" : " ") + line.substr(0, line.find(' '));
    at = end + 1;
  }
  return numbers;
}

/// Asks for a new identity and fetches again; tells the circuits before and after.
Outcome<std::string> Scene::new_identity() {
  const auto before = circuits();
  if (!before) return before;
  auto asked = host_->output_of({lab::vtl_binary().string(), "anonymizer", "new-identity", "vm1",
                                 "--socket", "/run/vtl.sock"});
  if (!asked) return asked;
  const auto fetched = fetch(fmt::format("http://{}/", TorNetwork::kServerName));
  if (!fetched) return std::unexpected(fetched.error());
  const auto after = circuits();
  if (!after) return after;
  return fmt::format("circuits {} before, {} after", *before, *after);
}

void add(Results& results, const char* name, const Seen& seen) {
  results.add(name, "fetch-time", "s", seen.seconds);
  results.add(name, "onion-reached", "0 or 1", seen.onion ? 1 : 0);
  results.add(name, "ping-answered", "0 or 1", seen.ping ? 1 : 0);
  results.set(fmt::format("server-saw-{}", name), seen.visitor);
}

}  // namespace

Outcome<TorDemo> run_tor_demo() {
  TorDemo demo;
  Progress progress(stderr, kSteps);
  progress.say(fmt::format("VTL demo: curl http://{}/ from a guest, unmodified; {}",
                           TorNetwork::kServerName, rough_time(50)));
  Scene scene;
  if (auto built = scene.build(progress); !built) return std::unexpected(built.error());
  const auto show = [&](const char* name, const char* label) -> Outcome<Seen> {
    progress.begin(fmt::format("curl, {}", label));
    auto seen = scene.try_all(name);
    if (!seen) return fail(fmt::format("{}: {}", label, seen.error().message));
    progress.end(fmt::format("the server saw {}", seen->visitor));
    add(demo.results, name, *seen);
    return seen;
  };
  progress.begin("a host that forwards its guest");
  if (auto started = scene.start_plain(); !started) return std::unexpected(started.error());
  progress.end("ready");
  const auto plain = show(kPlain, "without VTL");
  if (!plain) return std::unexpected(plain.error());
  progress.begin("the same host, with VTL under the guest");
  if (auto started = scene.start_vtl(); !started) return std::unexpected(started.error());
  progress.end("ready");
  const auto vtl = show(kVtl, "through VTL and Tor");
  if (!vtl) return std::unexpected(vtl.error());
  progress.begin("vtl anonymizer new-identity vm1");
  const auto renewed = scene.new_identity();
  if (!renewed) return std::unexpected(renewed.error());
  progress.end(*renewed);

  const auto yes = [](bool is, const char* words, const char* otherwise) {
    return std::string(is ? words : otherwise);
  };
  demo.rows = {
      {"the server saw", plain->visitor + (plain->visitor == kGuestAddress ? " (the guest)" : ""),
       vtl->visitor + " (an exit)"},
      {"curl took", time_span(plain->seconds), time_span(vtl->seconds)},
      {"an onion service", yes(plain->onion, "reached", "no such name"),
       yes(vtl->onion, "reached", "not reached")},
      {"ping to the server", yes(plain->ping, "answered", "nothing"),
       yes(vtl->ping, "answered", "nothing")}};
  return demo;
}

std::string tor_demo_table(const TorDemo& demo, Look look) {
  Table table({"the same guest", "without VTL", "through VTL and Tor"});
  for (const auto& row : demo.rows) table.add(row);
  return table.render(look);
}

}  // namespace vtl::bench
