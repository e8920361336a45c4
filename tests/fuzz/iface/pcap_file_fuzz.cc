// A capture file of any content, read to its end.
#include "vtl/iface/pcap_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "fuzz.h"

using namespace vtl;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const int fd = ::memfd_create("capture", MFD_CLOEXEC);
  FUZZ_CHECK(fd >= 0);
  FUZZ_CHECK(::write(fd, data, size) == static_cast<ssize_t>(size));
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  if (const auto file = iface::open_pcap_file({.read = path})) {
    PacketPool pool;
    iface::ReadStatus status = iface::ReadStatus::kOk;
    // A record has at least 16 octets of header, so the end comes within this many reads.
    for (std::size_t i = 0; i <= size && status != iface::ReadStatus::kClosed; ++i) {
      Batch batch;
      status = (*file)->read(pool, Time{}, batch);
      FUZZ_CHECK(batch.size() <= kMaxBatch);
      for (const Packet& packet : batch) fuzz::touch(packet.bytes());
    }
    FUZZ_CHECK(status == iface::ReadStatus::kClosed);
  }
  ::close(fd);
  return 0;
}
