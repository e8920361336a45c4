// The qemu interface against a machine that the test plays itself.
#include "vtl/iface/qemu.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "tests/unit/iface/temporary_folder.h"
#include "tests/unit/packet/frames.h"
#include "vtl/iface/device.h"
#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"

namespace vtl::iface {
namespace {

using test::make_frame;
using test::Octets;

class QemuTest : public ::testing::Test {
 protected:
  [[nodiscard]] sockaddr_un address() const {
    sockaddr_un out{};
    out.sun_family = AF_UNIX;
    std::memcpy(out.sun_path, path_.c_str(), path_.size() + 1);
    return out;
  }
  [[nodiscard]] OwnedFd call() const {
    OwnedFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un to = address();
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) fd.close();
    return fd;
  }
  [[nodiscard]] OwnedFd bound() const {
    OwnedFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un at = address();
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) fd.close();
    return fd;
  }
  // Reads once the interface says that there is something.
  Batch read_ready(Interface& from) {
    Batch batch;
    pollfd p{from.fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&p, 1, 5000), 1);
    EXPECT_NE(from.read(pool_, Time{3s}, batch), ReadStatus::kClosed);
    return batch;
  }
  static bool readable(const Interface& i) {
    pollfd p{i.fd(), POLLIN, 0};
    return ::poll(&p, 1, 0) == 1;
  }
  // What is there now, at most `n` octets.
  static Octets receive_some(int fd, std::size_t n) {
    Octets out(n);
    const ssize_t got = ::recv(fd, out.data(), n, MSG_DONTWAIT);
    out.resize(static_cast<std::size_t>(std::max<ssize_t>(0, got)));
    return out;
  }
  static Octets stream_of(std::uint32_t frames) {
    Octets stream;
    for (std::uint32_t i = 0; i < frames; ++i) test::append(stream, framed(make_frame({.seq = i})));
    return stream;
  }
  static Octets framed(const Octets& frame) {
    Octets out;
    test::append32(out, static_cast<std::uint32_t>(frame.size()));
    test::append(out, frame);
    return out;
  }
  static Octets receive(int fd, std::size_t n) {
    Octets out(n);
    const ssize_t got = ::recv(fd, out.data(), n, MSG_WAITALL);
    out.resize(static_cast<std::size_t>(std::max<ssize_t>(0, got)));
    return out;
  }
  static void send_all(int fd, const Octets& octets) {
    ASSERT_EQ(::send(fd, octets.data(), octets.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(octets.size()));
  }

  test::TemporaryFolder folder_;
  std::string path_ = folder_.file("vm.sock");
  PacketPool pool_;
};

TEST_F(QemuTest, AMachineConnectsAndFramesPassBothWays) {
  auto vm = open_qemu({.address = "unix:" + path_}).value();
  EXPECT_FALSE(vm->is_up());
  const OwnedFd machine = call();
  ASSERT_TRUE(machine);
  EXPECT_TRUE(read_ready(*vm).empty());
  EXPECT_TRUE(vm->is_up());
  const Octets first = make_frame({.seq = 1}), second = make_frame({.payload = Octets(1000)});
  Octets stream = framed(first);
  test::append(stream, framed(second));
  send_all(machine.get(), {stream.begin(), stream.begin() + 70});
  Batch batch = read_ready(*vm);
  ASSERT_EQ(batch.size(), 1U) << "one whole, one in part";
  EXPECT_TRUE(std::ranges::equal(batch[0].bytes(), first));
  send_all(machine.get(), {stream.begin() + 70, stream.end()});
  batch = read_ready(*vm);
  ASSERT_EQ(batch.size(), 1U);
  EXPECT_TRUE(std::ranges::equal(batch[0].bytes(), second));
  EXPECT_EQ(vm->write(batch), 1U);
  EXPECT_EQ(receive(machine.get(), second.size() + 4), framed(second));
}

TEST_F(QemuTest, ASuperFrameReachesTheMachineAsFinishedWireFrames) {
  auto vm = open_qemu({.address = "unix:" + path_}).value();
  const OwnedFd machine = call();
  (void)read_ready(*vm);
  Batch batch;
  batch.push_back(pool_.copy_of(make_frame({.payload = test::pattern(2000), .finish = false})));
  batch[0].meta().checksum = {.kind = ChecksumKind::kPartial, .start = 34, .offset = 16};
  batch[0].meta().gso = {.kind = GsoKind::kTcpV4, .segment_size = 1000};
  EXPECT_EQ(vm->write(batch), 1U);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(load_be32(receive(machine.get(), 4), 0), 1054U);
    const Packet one = pool_.copy_of(receive(machine.get(), 1054));
    EXPECT_TRUE(verify_checksums(one));
  }
}

TEST_F(QemuTest, AFrameSentInPartIsFinishedWithoutAnotherOne) {
  const Octets expected = framed(make_frame({.payload = test::pattern(1400)}));
  bool in_part = false;
  // What the socket takes of the last batch is the kernel's choice; some size leaves a part.
  for (std::size_t size = kMaxBatch; size > kMaxBatch / 2 && !in_part; --size) {
    auto vm = open_qemu({.address = "unix:" + path_}).value();
    const OwnedFd machine = call();
    (void)read_ready(*vm);
    std::size_t written = 0;
    Batch batch;
    for (int round = 0; round < 1000 && batch.empty(); ++round) {
      while (batch.size() < size) {
        batch.push_back(pool_.copy_of(make_frame({.payload = test::pattern(1400)})));
      }
      const std::size_t done = vm->write(batch);
      written += done;
      batch.erase(batch.begin(), batch.begin() + static_cast<std::ptrdiff_t>(done));
    }
    ASSERT_FALSE(batch.empty()) << "the socket is full";
    in_part = !batch[0];
    if (!in_part) continue;
    Octets got = receive(machine.get(), written * expected.size());
    ASSERT_EQ(vm->write(std::span(batch).first(1)), 1U) << "comes back for the rest";
    test::append(got, receive(machine.get(), expected.size()));
    ASSERT_EQ(got.size(), (written + 1) * expected.size());
    EXPECT_EQ(vm->counters().tx_frames.value(), written + 1);
    for (std::size_t i = 0; i <= written; ++i) {
      const auto at = got.begin() + static_cast<std::ptrdiff_t>(i * expected.size());
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), at)) << i;
    }
  }
  EXPECT_TRUE(in_part);
}

TEST_F(QemuTest, AFullSocketIsBackpressureAndTheStreamStaysWhole) {
  auto vm = open_qemu({.address = "unix:" + path_}).value();
  const OwnedFd machine = call();
  (void)read_ready(*vm);
  Batch batch;
  for (std::uint32_t i = 0; i < 40; ++i) {
    const test::FrameSpec super{.seq = i << 20, .payload = test::pattern(60'000), .finish = false};
    batch.push_back(pool_.copy_of(make_frame(super)));
    batch.back().meta().checksum = {.kind = ChecksumKind::kPartial, .start = 34, .offset = 16};
    batch.back().meta().gso = {.kind = GsoKind::kTcpV4, .segment_size = 1000};
    batch.push_back(pool_.copy_of(make_frame({.seq = i, .payload = test::pattern(i)})));
  }
  Octets got;
  std::size_t done = 0, short_writes = 0;
  for (int round = 0; round < 100'000 && done < batch.size(); ++round) {
    const auto part = std::span(batch).subspan(done, std::min(kMaxBatch, batch.size() - done));
    const std::size_t n = vm->write(part);
    short_writes += n < part.size() ? 1 : 0;
    done += n;
    test::append(got, receive_some(machine.get(), 10'001));
  }
  ASSERT_EQ(done, batch.size());
  EXPECT_GT(short_writes, 0U);
  while (true) {
    const Octets more = receive_some(machine.get(), 100'000);
    if (more.empty()) break;
    test::append(got, more);
  }
  std::vector<std::uint32_t> seqs, wanted;
  for (std::uint32_t i = 0; i < 40; ++i) {
    for (std::uint32_t k = 0; k < 60; ++k) wanted.push_back((i << 20) + 1000 * k);
    wanted.push_back(i);
  }
  std::size_t at = 0;
  while (at + 4 <= got.size()) {
    const std::size_t length = load_be32(got, at);
    ASSERT_LE(length, got.size() - at - 4);
    const Packet one = pool_.copy_of(Bytes(got).subspan(at + 4, length));
    ASSERT_TRUE(verify_checksums(one));
    seqs.push_back(tcp_seq(one).value());
    at += 4 + length;
  }
  EXPECT_EQ(at, got.size());
  EXPECT_EQ(seqs, wanted);
  EXPECT_EQ(vm->counters().tx_frames.value(), wanted.size());
}

TEST_F(QemuTest, WhenAMachineGoesTheNextIsServed) {
  auto vm = open_qemu({.address = "unix:" + path_}).value();
  OwnedFd machine = call();
  (void)read_ready(*vm);
  send_all(machine.get(), {0, 0, 0, 60, 1, 2, 3});
  (void)read_ready(*vm);
  machine.close();
  (void)read_ready(*vm);
  EXPECT_FALSE(vm->is_up());
  Batch lost;
  lost.push_back(pool_.copy_of(make_frame({})));
  EXPECT_EQ(vm->write(lost), 1U);
  EXPECT_EQ(vm->counters().drops.value(DropReason::kInterfaceDown), 1U);
  machine = call();
  (void)read_ready(*vm);
  EXPECT_TRUE(vm->is_up());
  send_all(machine.get(), framed(make_frame({.seq = 5})));
  EXPECT_EQ(read_ready(*vm).size(), 1U) << "half a frame of the former machine is forgotten";
}

TEST_F(QemuTest, ALyingLengthEndsTheConnectionAndIsCounted) {
  for (const Octets& length : {Octets{0, 0, 0, 13}, Octets{0xff, 0xff, 0xff, 0xff}}) {
    auto vm = open_qemu({.address = "unix:" + path_}).value();
    const OwnedFd machine = call();
    (void)read_ready(*vm);
    send_all(machine.get(), length);
    EXPECT_TRUE(read_ready(*vm).empty());
    EXPECT_FALSE(vm->is_up());
    EXPECT_EQ(vm->counters().drops.value(DropReason::kRxError), 1U);
  }
}

TEST_F(QemuTest, ManyFramesInOneReadAreDeliveredBatchByBatch) {
  auto vm = open_qemu({.address = "unix:" + path_}).value();
  const OwnedFd machine = call();
  (void)read_ready(*vm);
  Octets stream;
  for (std::uint32_t i = 0; i < 100; ++i) test::append(stream, framed(make_frame({.seq = i})));
  send_all(machine.get(), stream);
  Batch batch;
  EXPECT_EQ(vm->read(pool_, Time{}, batch), ReadStatus::kMore);
  EXPECT_EQ(batch.size(), kMaxBatch);
  EXPECT_EQ(vm->read(pool_, Time{}, batch), ReadStatus::kOk);
  EXPECT_EQ(batch.size(), 100U);
}

TEST_F(QemuTest, WhatIsBufferedKeepsTheDescriptorReadable) {
  auto vm = open_qemu({.address = "unix:" + path_}).value();
  const OwnedFd machine = call();
  (void)read_ready(*vm);
  send_all(machine.get(), stream_of(300));
  Batch got;
  for (int i = 0; i < 10 && readable(*vm); ++i) (void)vm->read(pool_, Time{}, got);
  ASSERT_EQ(got.size(), 300U) << "though the machine is silent";
  for (std::uint32_t i = 0; i < 300; ++i) EXPECT_EQ(tcp_seq(got[i]).value(), i);
  EXPECT_FALSE(readable(*vm));
  send_all(machine.get(), framed(make_frame({})));
  EXPECT_EQ(read_ready(*vm).size(), 1U);
  EXPECT_FALSE(readable(*vm));
}

TEST_F(QemuTest, WhatAMachineSentBeforeItWentIsDelivered) {
  auto vm = open_qemu({.address = "unix:" + path_}).value();
  OwnedFd machine = call();
  (void)read_ready(*vm);
  Octets stream = stream_of(300);
  test::append(stream, {0, 0, 0, 60, 1, 2, 3});
  send_all(machine.get(), stream);
  Batch got = read_ready(*vm);
  EXPECT_EQ(got.size(), kMaxBatch);
  machine.close();
  for (int i = 0; i < 10 && readable(*vm); ++i) (void)vm->read(pool_, Time{}, got);
  EXPECT_EQ(got.size(), 300U);
  EXPECT_FALSE(vm->is_up());
  EXPECT_FALSE(readable(*vm));
  machine = call();
  (void)read_ready(*vm);
  ASSERT_TRUE(vm->is_up());
  send_all(machine.get(), framed(make_frame({.seq = 5})));
  EXPECT_EQ(read_ready(*vm).size(), 1U);
}

TEST_F(QemuTest, ConnectingTriesUntilTheMachineListens) {
  auto vm = open_qemu({.address = "unix:" + path_, .listen = false, .retry = 5ms}).value();
  EXPECT_FALSE(vm->is_up());
  const OwnedFd listener = bound();
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  for (int i = 0; i < 100 && !vm->is_up(); ++i) (void)read_ready(*vm);
  ASSERT_TRUE(vm->is_up());
  const OwnedFd machine(::accept(listener.get(), nullptr, nullptr));
  send_all(machine.get(), framed(make_frame({})));
  EXPECT_EQ(read_ready(*vm).size(), 1U);
}

TEST_F(QemuTest, AnAddressInUseOrUnreadableIsToldInOneLine) {
  auto vm = open_qemu({.address = "unix:" + path_}).value();
  const auto message = [](const QemuOptions& options) {
    return open_qemu(options).error().message;
  };
  EXPECT_NE(message({.address = "unix:" + path_}).find("in use"), std::string::npos);
  EXPECT_NE(message({.address = "localhost"}).find("no address"), std::string::npos);
  EXPECT_NE(message({.address = "unix:x", .retry = 0s}).find("retry"), std::string::npos);
  vm.reset();
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(QemuTest, AStaleSocketFileIsReplaced) {
  bound().close();
  EXPECT_TRUE(std::filesystem::exists(path_));
  EXPECT_TRUE(open_qemu({.address = "unix:" + path_}));
}

TEST_F(QemuTest, AFileThatIsNoSocketStaysAndIsToldInOneLine) {
  std::ofstream(path_) << "precious";
  const auto refused = open_qemu({.address = "unix:" + path_});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("no socket"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(refused.error().message.find('\n'), std::string::npos);
  EXPECT_EQ(std::filesystem::file_size(path_), 8U);
}

TEST_F(QemuTest, TheFolderOfASocketIsMade) {
  path_ = folder_.file("fresh") + "/vm.sock";
  auto vm = open_qemu({.address = "unix:" + path_});
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_TRUE(call());
}

}  // namespace
}  // namespace vtl::iface
