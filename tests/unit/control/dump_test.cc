// A dump at its bound: what it leaves out it counts, and the stream tells.
#include <gtest/gtest.h>

#include <poll.h>

#include <cstdio>
#include <fstream>

#include "vtl/control/dump_tally.h"
#include "vtl/control/engine_source.h"
#include "vtl/iface/memory.h"
#include "vtl/iface/pcap_file.h"
#include "vtl/iface/pcapng.h"

namespace vtl::control {
namespace {

using Octets = std::vector<std::uint8_t>;

Octets stream_of(std::size_t frames, std::uint64_t dropped) {
  Octets out;
  iface::append_section_header(out, "test");
  iface::append_interface(out, "x");
  const Octets frame(61, 0x05);
  for (std::size_t i = 0; i < frames; ++i) {
    iface::append_packet(out, 0, 1, frame, frame.size(), iface::CaptureDirection::kInbound);
    if (i == 2) iface::append_statistics(out, 0, 1, i, dropped / 2);
  }
  iface::append_statistics(out, 0, 1, frames + dropped, dropped);
  return out;
}

TEST(DumpTally, CountsWhateverThePiecesAre) {
  const Octets stream = stream_of(7, 1'000'000'000'001);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{64}, stream.size()}) {
    DumpTally tally;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      tally.take(Bytes(stream).subspan(at, std::min(piece, stream.size() - at)));
    }
    EXPECT_EQ(tally.frames(), 7U) << piece;
    EXPECT_EQ(tally.dropped(), 1'000'000'000'001U) << piece;
  }
}

// libpcap reads the stream, counts and all.
TEST(DumpTally, IsOfAStreamThatOthersRead) {
  const auto path = testing::TempDir() + "vtl-dump-test.pcapng";
  const Octets stream = stream_of(7, 9);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(stream.data()),
             static_cast<std::streamsize>(stream.size()));
  auto file = iface::open_pcap_file({.read = path});
  std::remove(path.c_str());
  ASSERT_TRUE(file) << file.error().message;
  PacketPool pool;
  Batch frames;
  EXPECT_EQ((*file)->read(pool, Time{}, frames), iface::ReadStatus::kClosed);
  EXPECT_EQ(frames.size(), 7U);
  file->reset();
}

TEST(DumpTally, WhatIsNoPcapngEndsTheCount) {
  DumpTally tally;
  tally.take(stream_of(2, 5));
  tally.take(Octets(100, 0));
  tally.take(stream_of(2, 6));
  EXPECT_EQ(tally.frames(), 2U);
  EXPECT_EQ(tally.dropped(), 5U);
}

class EngineDumpTest : public testing::Test {
 protected:
  static constexpr std::size_t kFrame = 60'000;

  EngineDumpTest() {
    engine::EngineConfig config;
    config.interfaces = {open("guest", guest_), open("network", network_)};
    config.links.push_back({.name = "l", .guest = "guest", .network = "network", .services = {}});
    EXPECT_TRUE(engine_.start(std::move(config)));
  }

  // Frames pass the link one after the other, so that no queue is full.
  void pass(std::size_t frames) {
    for (std::size_t i = 0; i < frames; ++i) {
      Batch one;
      one.push_back(pool_.copy_of(Octets(kFrame, 0x07)));
      ASSERT_EQ(guest_->write(one), 1U);
      Batch out;
      while (out.empty()) {
        pollfd ready{network_->fd(), POLLIN, 0};
        ASSERT_EQ(poll(&ready, 1, 10'000), 1);
        ASSERT_NE(network_->read(pool_, Time{}, out), iface::ReadStatus::kClosed);
      }
    }
  }
  static void read_all(Dump& dump, DumpTally& tally) {
    Octets chunk(1 << 16);
    while (const auto n = dump.read(chunk)) tally.take(Bytes(chunk).first(n));
  }

  PacketPool pool_;
  std::unique_ptr<iface::Interface> guest_, network_;  // the test's ends
  engine::Engine engine_;
  EngineSource source_{engine_, [] {}};

 private:
  static engine::InterfaceConfig open(const std::string& name,
                                      std::unique_ptr<iface::Interface>& outer) {
    auto pair =
        iface::open_memory_pair({.name = name, .mtu = 65'000}, {.name = name, .mtu = 65'000});
    outer = std::move(pair->first);
    auto inner = std::make_shared<std::unique_ptr<iface::Interface>>(std::move(pair->second));
    return {name, [inner](std::uint32_t, std::uint32_t) {
              return Outcome<std::unique_ptr<iface::Interface>>(std::move(*inner));
            }};
  }
};

TEST_F(EngineDumpTest, FramesLeftOutAtTheBoundAreTold) {
  constexpr std::size_t kFrames = 200;  // 12 MB, and the bound is 8 MiB
  auto dump = source_.open_dump({.link = "l"});
  ASSERT_TRUE(dump) << dump.error().message;
  static_cast<void>(source_.status());  // asked after the dump: it is in place now
  DumpTally tally;
  pass(kFrames);
  read_all(**dump, tally);
  EXPECT_GT(tally.dropped(), 0U);
  EXPECT_EQ(tally.frames() + tally.dropped(), kFrames);
  // Room again: nothing more is left out, and the end tells the same.
  pass(5);
  (*dump)->finish();
  pass(1);  // after the end
  read_all(**dump, tally);
  EXPECT_EQ(tally.frames() + tally.dropped(), kFrames + 5);
  EXPECT_GE(tally.frames(), 5U);
}

TEST_F(EngineDumpTest, WithoutALossTheEndTellsNone) {
  auto dump = source_.open_dump({.link = "l"});
  ASSERT_TRUE(dump) << dump.error().message;
  static_cast<void>(source_.status());
  pass(3);
  (*dump)->finish();
  DumpTally tally;
  read_all(**dump, tally);
  EXPECT_EQ(tally.frames(), 3U);
  EXPECT_EQ(tally.dropped(), 0U);
}

}  // namespace
}  // namespace vtl::control
