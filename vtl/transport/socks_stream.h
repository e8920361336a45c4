// SocksStream: a stream through a SOCKS proxy, straight on a kernel socket.
//
// Theory of operation. There is no buffer here: write() is send(), read() is recv(), and what the
// kernel does not take waits with the caller. System calls are what it costs, so few are made for
// waiting. The reactor tells a readiness again and again until it is served; a reader that reads
// all, and a writer that fills the socket, each in the turn in which they are told, need no change
// of what is waited for. Only a readiness that is told in vain is waited for no more, until the
// caller asks again by a read() that returns 0, or by a write() that is cut short. A read that
// returned less than it had room for is not followed by another before the next event.
//
// While nothing is waited for (a reader stands still, or the peer has ended and the writer is
// idle), a break of the connection is looked for every 15 seconds.
//
// Half-close. Tor, and some servers, end both directions with the first end that they are told of,
// and what the destination still had to say is gone. With half_close_wait the proxy is therefore
// not told of a shutdown() until the destination has ended, which then is an end in order. A
// destination that waits for the end before it says anything would wait for ever, so after so much
// silence the end is passed on. What then comes back may be the destination's answer or the proxy's
// closing: it is read, but its end is told as a reset (kTimedOut), never as one in order. While
// anything waits for its reader, or for the proxy to take it, there is no silence. Such a stream
// counts against max_streams until it ends.
//
// Thread rule: the reactor's thread. It is destroyed before its proxy.
#pragma once

#include <optional>
#include <string_view>

#include "vtl/transport/proxy.h"
#include "vtl/transport/socks_connection.h"
#include "vtl/transport/transport.h"

namespace vtl::transport {

class SocksStream final : public Stream, private SocksConnection {
 public:
  SocksStream(SocksState& state, SocksUser* user, StreamHandler& handler);
  ~SocksStream() override;

  /// Begins to open it. Calls nothing back.
  void open(const Destination& destination, std::string_view isolation);

  [[nodiscard]] std::size_t write(Bytes bytes) override;
  [[nodiscard]] std::size_t read(MutableBytes out) override;
  [[nodiscard]] bool at_end() const noexcept override { return end_; }
  void shutdown() override;
  void abort(StreamError reason) override;
  [[nodiscard]] Duration round_trip() const noexcept override;
  [[nodiscard]] std::size_t unsent() const noexcept override;

 private:
  // SocksConnection
  void on_sent() override;
  void on_answer(const SocksHandshake& handshake) override;
  void on_failure(Failure failure, StreamError reason) override;
  void on_ready(Readiness ready, const bool& gone) override;
  void on_timer(const bool& gone) override;

  [[nodiscard]] bool reads() const noexcept { return granted_ && !over_ && !end_; }
  std::size_t read_nothing();
  void pass_end();
  void rest();
  void look_for_a_break();
  void look_for_silence();
  void tell_break();
  void lose(StreamError reason);
  void note_error();
  void end_of_input();
  void stand_still(Readiness told_in_vain);
  [[nodiscard]] bool nothing_left() const;
  void tell_reset();

  StreamHandler& handler_;
  bool open_ = false;      // on_open() was called
  bool granted_ = false;   // the proxy has granted it
  bool over_ = false;      // nothing is called back any more
  bool shut_ = false;      // our direction is closed: shutdown() was called
  bool withheld_ = false;  // and the proxy is not yet told
  bool late_ = false;      // and the proxy was told after the wait: its end proves nothing
  bool end_ = false;       // the peer's is, and all was read
  bool told_ = false;      // on_readable() was called, and read() has not returned 0 since
  bool drained_ = false;   // nothing is there to be read, before the next event
  bool blocked_ = false;   // write() took less than it was given, and on_writable() is owed
  bool waited_ = false;    // after the break, for the reader
  std::optional<StreamError> lost_;  // broken; told once all was read
  std::size_t read_since_ = 0;       // octets, since the timer was armed
  Time heard_;                       // after shutdown(): when octets were last read
};

}  // namespace vtl::transport
