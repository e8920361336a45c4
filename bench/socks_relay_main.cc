// vtl-socks-relay: a SOCKS 5 server for experiments; ends with its standard input.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "bench/socks_relay.h"

namespace {

int run(int argc, char** argv) {
  CLI::App app{"A SOCKS 5 server that relays inside the kernel, for experiments"};
  vtl::bench::SocksRelayOptions options;
  std::vector<std::string> names;
  app.add_option("--address", options.address, "to listen on")->capture_default_str();
  app.add_option("--port", options.port)->check(CLI::Range(1, 65535))->capture_default_str();
  app.add_option("--user", options.user, "asked for, with --password");
  app.add_option("--password", options.password);
  app.add_option("--name", names, "NAME=ADDRESS: a name that it knows");
  app.add_option("--connections", options.connections, "at one time")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
    for (const std::string& name : names) {
      const auto equals = name.find('=');
      if (equals == std::string::npos)
        throw CLI::ValidationError("--name", "'" + name + "' is not NAME=ADDRESS");
      options.names[name.substr(0, equals)] = name.substr(equals + 1);
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  std::signal(SIGPIPE, SIG_IGN);  // splice() to a client that is gone
  const auto served = vtl::bench::serve_socks(options);
  if (!served) fmt::print(stderr, "vtl-socks-relay: {}\n", served.error().message);
  return served ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv);
}
