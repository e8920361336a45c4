// What the tests of proxies share: a server, a proxy of it on one reactor, and ends of streams.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pair.h"
#include "socks_server.h"
#include "vtl/transport/socks_proxy.h"

namespace vtl::transport::test {

inline const Destination kSomewhere{std::string("example.org"), wire::Port(443)};

/// A string with its zeros.
template <std::size_t N>
std::string raw(const char (&text)[N]) {
  return std::string(text, N - 1);
}

class SocksLab : public ::testing::Test {
 protected:
  SocksOptions options_for(const SocksServer& at) {
    SocksOptions options;
    options.name = "p";
    options.address = at.address();
    options.inner = InnerAddresses::kRefused;
    options.probe_min = 10ms;
    options.probe_max = 40ms;
    return options;
  }
  SocksOptions options() { return options_for(server); }
  std::unique_ptr<Proxy> make(const SocksOptions& with) {
    auto made = make_socks(with, reactor);
    EXPECT_TRUE(made) << (made ? "" : made.error().message);
    return made ? std::move(*made) : nullptr;
  }
  static void open(Proxy& at, End& end, std::string_view isolation = "",
                   const Destination& to = kSomewhere) {
    end.stream = at.open(to, isolation, end);
    EXPECT_EQ(end.opened, 0) << "called back inside open()";
    EXPECT_FALSE(end.refused) << "called back inside open()";
  }
  /// An end that writes nothing and leaves its direction open.
  static std::unique_ptr<End> quiet() {
    auto end = std::make_unique<End>();
    end->shut_down_after = false;
    end->keep = true;
    return end;
  }
  bool until_open(const End& end) {
    return reactor.run_until([&] { return end.opened == 1 || end.refused; }) && end.opened == 1;
  }
  std::optional<StreamError> until_refused(const End& end) {
    EXPECT_TRUE(reactor.run_until([&] { return end.opened > 0 || end.refused; }));
    return end.refused;
  }

  TestReactor reactor;
  SocksServer server{reactor};
};

}  // namespace vtl::transport::test
