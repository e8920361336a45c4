// A machine that sends any octets, in pieces, through its stream socket: what comes out are the
// whole frames up to the first length that no frame has, whatever the pieces were.
#include "vtl/iface/qemu.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "fuzz.h"
#include "vtl/iface/device.h"
#include "vtl/iface/stream_address.h"

using namespace vtl;

namespace {

struct Expected {
  std::vector<Bytes> frames;
  bool lie = false;
};

// The protocol by another hand: four octets of length, then the frame.
Expected expected(Bytes stream) {
  Expected out;
  for (std::size_t at = 0; stream.size() - at >= 4;) {
    const std::size_t length = load_be32(stream, at);
    out.lie = length < 14 || length > kMaxFrame;
    if (out.lie || stream.size() - at - 4 < length) break;
    out.frames.push_back(stream.subspan(at + 4, length));
    at += 4 + length;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kMost = 60'000;  // well within the socket's buffer
  if (size == 0 || size > kMost) return 0;
  const Bytes stream(data + 1, size - 1);
  const std::size_t piece = data[0] == 0 ? size : data[0];
  static const std::string path = "/tmp/vtl-fuzz-qemu-" + std::to_string(::getpid());
  auto qemu = iface::open_qemu({.address = "unix:" + path});
  FUZZ_CHECK(qemu.has_value());
  iface::OwnedFd machine(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = iface::parse_stream_address("unix:" + path);
  FUZZ_CHECK(::connect(machine.get(), address->get(), address->size) == 0);

  static PacketPool pool;
  const Expected should = expected(stream);
  std::size_t seen = 0;
  const auto read = [&] {
    Batch batch;
    const auto status = (*qemu)->read(pool, Time{}, batch);
    FUZZ_CHECK(status != iface::ReadStatus::kClosed && batch.size() <= kMaxBatch);
    for (const Packet& packet : batch) {
      FUZZ_CHECK(seen < should.frames.size());
      FUZZ_CHECK(std::ranges::equal(packet.bytes(), should.frames[seen]));
      ++seen;
    }
  };
  read();
  FUZZ_CHECK((*qemu)->is_up());
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    const Bytes part = stream.subspan(at, std::min(piece, stream.size() - at));
    const ssize_t sent = ::send(machine.get(), part.data(), part.size(), MSG_NOSIGNAL);
    if (sent < 0) break;  // disconnected for its lie
    FUZZ_CHECK(sent == static_cast<ssize_t>(part.size()));
    read();
  }
  machine.close();
  // Each read delivers a full batch, or is the last one.
  for (std::size_t i = 0; i < size / (18 * kMaxBatch) + 3; ++i) read();
  FUZZ_CHECK(seen == should.frames.size() && !(*qemu)->is_up());
  FUZZ_CHECK(((*qemu)->counters().drops.value(DropReason::kRxError) == 1) == should.lie);
  return 0;
}
