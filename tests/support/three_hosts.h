// ThreeHosts: a client, a server, and a host between them whose two devices nothing joins yet.
//
//   client eth0 ------- in0 [ host ] out0 ------- eth0 server
//   10.0.0.1, fd00::1                             10.0.0.2, fd00::2
#pragma once

#include "lab/lab.h"
#include "lab/must.h"

namespace vtl::test {

class ThreeHosts {
 public:
  explicit ThreeHosts(const lab::LinkOptions& links = {}) {
    lab::must(lab_.connect({client, "eth0"}, {host, "in0"}, links));
    lab::must(lab_.connect({host, "out0"}, {server, "eth0"}, links));
    lab::must(client.ip("addr add 10.0.0.1/24 dev eth0\naddr add fd00::1/64 dev eth0"));
    lab::must(server.ip("addr add 10.0.0.2/24 dev eth0\naddr add fd00::2/64 dev eth0"));
  }

 private:
  lab::Lab lab_;

 public:
  lab::Host& client = *lab::must(lab_.add_host("client"));
  lab::Host& host = *lab::must(lab_.add_host("host", {.ipv6 = lab::Ipv6::kNoNoise}));
  lab::Host& server = *lab::must(lab_.add_host("server"));
};

}  // namespace vtl::test
