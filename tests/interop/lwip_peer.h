// LwipPeer: a host whose TCP is lwIP, inside the test's process and on the test's clock.
//
// The packaged library is built for threads, but needs none: its core and its timers are called
// from here, and its sys_now() is this file's, so that a minute of its time passes at once. Packets
// go in and out as IP packets: its device has no link layer. The library is one per process, so is
// the time, which never goes back; LwipPeer objects follow each other.
// Thread rule: one thread for all of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vtl/base/bytes.h"
#include "vtl/base/time.h"
#include "vtl/wire/addresses.h"

namespace vtl::test {

class LwipPeer {
 public:
  struct Options {
    wire::SocketAddress own, other;
    std::uint16_t mtu = 1500;
  };
  explicit LwipPeer(const Options& options);
  LwipPeer(const LwipPeer&) = delete;
  LwipPeer& operator=(const LwipPeer&) = delete;
  /// What is left of its connection is reset.
  ~LwipPeer();

  /// The library's time, from which a test's clock begins.
  [[nodiscard]] static Time now();
  /// Lets the library's timers run that are due. Not before now().
  void advance_to(Time now);
  /// When its next timer is due.
  [[nodiscard]] Time poll_at() const;

  void listen();
  void connect();
  /// An IP packet arrives.
  void input(Bytes packet);
  /// IP packets sent since the last call.
  [[nodiscard]] std::vector<std::vector<std::uint8_t>> take_output();

  // The program above it.
  /// Takes as much as the send buffer has room for and answers how much.
  std::size_t send(Bytes data);
  /// All that came and was not yet asked for; frees the window unless reading is held.
  [[nodiscard]] std::vector<std::uint8_t> receive();
  /// While set, what arrives stays in the window.
  void hold_reading(bool hold);
  /// The other end's FIN was received.
  [[nodiscard]] bool at_end() const;
  void shutdown();
  void reset();
  /// lwIP's word: "ESTABLISHED", "TIME_WAIT"; "CLOSED" when nothing is left.
  [[nodiscard]] std::string state() const;
  /// What the library told of the connection's end: 0 while there was nothing, else its err_t.
  [[nodiscard]] int error() const;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace vtl::test
