// Capture files: what VTL writes is read by tshark and capinfos, and by VTL again.
#include "vtl/iface/capture.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "tests/unit/iface/temporary_folder.h"
#include "tests/unit/packet/frames.h"
#include "vtl/iface/memory.h"
#include "vtl/iface/pcap_file.h"
#include "vtl/iface/trace.h"
#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"

namespace vtl::iface {
namespace {

using test::make_frame;

std::string output_of(const std::string& command) {
  std::FILE* pipe = ::popen(command.c_str(), "r");
  std::string out;
  std::array<char, 4096> chunk{};
  while (const std::size_t n = std::fread(chunk.data(), 1, chunk.size(), pipe)) {
    out.append(chunk.data(), n);
  }
  const int status = ::pclose(pipe);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << command << "\n" << out;
  return out;
}

class CaptureFile : public ::testing::Test {
 protected:
  [[nodiscard]] std::string path(const std::string& file) const { return folder_.file(file); }

  Packet frame(const test::FrameSpec& spec, Time arrival) {
    Packet p = pool_.copy_of(make_frame(spec));
    p.meta().arrival = arrival;
    return p;
  }
  Packet super_frame(std::uint32_t seq, std::size_t size, Time arrival) {
    Packet p = frame({.seq = seq, .payload = test::pattern(size), .finish = false}, arrival);
    p.meta().checksum = {.kind = ChecksumKind::kPartial, .start = 34, .offset = 16};
    p.meta().gso = {.kind = GsoKind::kTcpV4, .segment_size = 1000};
    return p;
  }

  void write_two(const std::string& file) {
    auto out = open_pcap_file({.write = path(file), .epoch = 1'700'000'000'000'000'000}).value();
    Batch batch;
    batch.push_back(frame({.seq = 1, .payload = test::pattern(101)}, Time{1s}));
    batch.push_back(frame({.v6 = true, .protocol = 17, .vlans = {7}, .payload = test::pattern(2)},
                          Time{1s + 250ms + 7ns}));
    EXPECT_EQ(out->write(batch), 2U);
    EXPECT_EQ(out->counters().tx_frames.value(), 2U);
  }

  Batch read_all(const PcapFileOptions& options) {
    auto in = open_pcap_file(options).value();
    Batch batch;
    while (in->read(pool_, Time{9s}, batch) != ReadStatus::kClosed) {
    }
    return batch;
  }

  test::TemporaryFolder folder_;
  PacketPool pool_;
};

TEST_F(CaptureFile, BothFormatsAreReadBackOctetForOctet) {
  for (const char* file : {"a.pcap", "a.pcapng"}) {
    write_two(file);
    const Batch batch = read_all({.read = path(file)});
    ASSERT_EQ(batch.size(), 2U) << file;
    EXPECT_TRUE(std::ranges::equal(batch[0].bytes(),
                                   make_frame({.seq = 1, .payload = test::pattern(101)})));
    EXPECT_EQ(batch[1].layout().vlan, 7);
    EXPECT_EQ(batch[1].meta().arrival, Time{9s});
  }
}

TEST_F(CaptureFile, TsharkAndCapinfosReadWhatIsWritten) {
  for (const char* file : {"b.pcap", "b.pcapng"}) {
    write_two(file);
    const std::string fields =
        output_of("tshark -r " + path(file) +
                  " -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE -T fields -E separator=, "
                  "-e frame.time_epoch -e frame.len -e tcp.checksum.status "
                  "-e udp.checksum.status -e vlan.id 2>/dev/null");
    EXPECT_EQ(fields, "1700000001.000000000,155,1,,\n1700000001.250000007,68,,1,7\n");
    const std::string info = output_of("capinfos -T -r -m -c " + path(file));
    EXPECT_TRUE(info.ends_with(",2\n") || info.find(",\"2\"") != std::string::npos) << info;
  }
}

TEST_F(CaptureFile, ASuperFrameIsWrittenAsItsWireFrames) {
  {
    auto out = open_pcap_file({.write = path("c.pcapng")}).value();
    Batch batch;
    batch.push_back(super_frame(1, 2500, Time{1s}));
    EXPECT_EQ(out->write(batch), 1U);
  }
  const Batch batch = read_all({.read = path("c.pcapng")});
  ASSERT_EQ(batch.size(), 3U);
  for (const Packet& p : batch) EXPECT_TRUE(verify_checksums(p));
}

TEST_F(CaptureFile, RecordedPaceDeliversEachFrameWhenItIsDue) {
  write_two("d.pcapng");
  auto in = open_pcap_file({.read = path("d.pcapng"), .pace = Pace::kRecorded}).value();
  EXPECT_GE(in->fd(), 0);
  Batch batch;
  EXPECT_EQ(in->read(pool_, Time{100s}, batch), ReadStatus::kOk);
  EXPECT_EQ(batch.size(), 1U);
  EXPECT_EQ(in->read(pool_, Time{100s + 250ms}, batch), ReadStatus::kOk);
  EXPECT_EQ(batch.size(), 1U) << "7 ns are missing";
  EXPECT_EQ(in->read(pool_, Time{100s + 250ms + 7ns}, batch), ReadStatus::kClosed);
  EXPECT_EQ(batch.size(), 2U);
}

TEST_F(CaptureFile, AFileCutAnywhereEndsThere) {
  write_two("e.pcapng");
  const auto whole = std::filesystem::file_size(path("e.pcapng"));
  for (std::uintmax_t size = 0; size < whole; size += 3) {
    std::filesystem::copy_file(path("e.pcapng"), path("cut"),
                               std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(path("cut"), size);
    const auto in = open_pcap_file({.read = path("cut")});
    if (!in) {
      EXPECT_FALSE(in.error().message.empty());
      continue;
    }
    Batch batch;
    ReadStatus status = ReadStatus::kOk;
    for (int i = 0; i < 5 && status != ReadStatus::kClosed; ++i) {
      status = (*in)->read(pool_, Time{}, batch);
    }
    EXPECT_EQ(status, ReadStatus::kClosed);
    EXPECT_LT(batch.size(), 2U);
  }
}

TEST_F(CaptureFile, WhatCannotBeOpenedIsToldInOneLine) {
  const auto message = [](const PcapFileOptions& options) {
    return open_pcap_file(options).error().message;
  };
  EXPECT_NE(message({.read = path("absent")}).find("No such file"), std::string::npos);
  EXPECT_NE(message({.write = path("no/folder")}).find("cannot be written"), std::string::npos);
  EXPECT_NE(message({}).find("neither"), std::string::npos);
}

TEST_F(CaptureFile, WithoutAFileToWriteFramesHaveNowhereToGo) {
  write_two("f.pcap");
  auto in = open_pcap_file({.read = path("f.pcap")}).value();
  Batch batch;
  batch.push_back(frame({}, Time{}));
  EXPECT_EQ(in->write(batch), 1U);
  EXPECT_EQ(in->counters().drops.value(DropReason::kNoRoute), 1U);
}

TEST_F(CaptureFile, TheDecoratorRecordsBothDirectionsAndOnlyWhatWasTaken) {
  auto [a, b] = open_memory_pair({.name = "guest"}, {.queue = 1}).value();
  auto captured = open_capture(std::move(a), path("g.pcapng"), {.epoch = 0}).value();
  Batch out, in;
  out.push_back(frame({.seq = 1}, Time{1s}));
  out.push_back(frame({.seq = 2}, Time{2s}));
  EXPECT_EQ(captured->write(out), 1U);
  out.erase(out.begin());
  (void)b->read(pool_, Time{}, in);
  EXPECT_EQ(captured->write(out), 1U);
  in.clear();
  in.push_back(super_frame(3, 3000, Time{}));
  EXPECT_EQ(b->write(in), 1U);
  Batch back;
  EXPECT_EQ(captured->read(pool_, Time{3s}, back), ReadStatus::kOk);
  ASSERT_EQ(back.size(), 1U);
  captured.reset();
  const std::string fields =
      output_of("tshark -r " + path("g.pcapng") +
                " -T fields -E separator='|' -e frame.time_epoch -e tcp.seq_raw "
                "-e frame.packet_flags_direction -e frame.interface_name -e frame.comment "
                "2>/dev/null");
  EXPECT_EQ(fields,
            "1.000000000|1|0x00000002|guest|\n"
            "2.000000000|2|0x00000002|guest|\n"
            "3.000000000|3|0x00000001|guest|super-frame, segments of 1000, partial checksum\n");
}

TEST_F(CaptureFile, ASuperFrameWhoseSegmentsWaitForRoomIsRecordedOnce) {
  auto [a, b] = open_memory_pair({.super_frames = false}, {.queue = 4}).value();
  auto captured = open_capture(std::move(a), path("h.pcapng"), {.epoch = 0}).value();
  Batch out, in;
  out.push_back(super_frame(1, 6000, Time{1s}));
  out.push_back(frame({.seq = 2}, Time{2s}));
  ASSERT_EQ(captured->write(out), 0U) << "two segments wait inside";
  ASSERT_EQ(captured->write(out), 0U);
  (void)b->read(pool_, Time{}, in);
  ASSERT_EQ(captured->write(out), 2U);
  captured.reset();
  EXPECT_EQ(output_of("tshark -r " + path("h.pcapng") +
                      " -T fields -E separator='|' -e frame.time_epoch -e frame.comment "
                      "2>/dev/null"),
            "1.000000000|super-frame, segments of 1000, partial checksum\n2.000000000|\n");
}

TEST_F(CaptureFile, ACaptureAtItsBoundStopsAndTheTrafficGoesOn) {
  auto [a, b] = open_memory_pair({}, {}).value();
  std::size_t written = 0;
  const auto count = [&](Bytes bytes) {
    written += bytes.size();
    return true;
  };
  auto captured = make_capture(std::move(a), count, {.max_bytes = 500});
  for (int i = 0; i < 20; ++i) {
    Batch out;
    out.push_back(frame({.payload = test::pattern(50)}, Time{}));
    EXPECT_EQ(captured->write(out), 1U);
  }
  EXPECT_GT(written, 200U);
  EXPECT_LE(written, 500U);
  EXPECT_EQ(captured->counters().tx_frames.value(), 20U);
}

TEST_F(CaptureFile, TraceTellsEveryFrameOnce) {
  auto [a, b] = open_memory_pair({.name = "vm1"}, {.queue = 1}).value();
  std::vector<std::string> lines;
  auto traced = make_trace(std::move(a), [&](std::string_view line) { lines.emplace_back(line); });
  Batch out, in;
  out.push_back(frame({.flags = 2}, Time{}));
  out.push_back(frame({.protocol = 17}, Time{}));
  EXPECT_EQ(traced->write(out), 1U);
  out.erase(out.begin());
  (void)b->read(pool_, Time{}, in);
  EXPECT_EQ(traced->write(out), 1U);
  EXPECT_EQ(b->write(in), 1U);
  (void)traced->read(pool_, Time{}, in);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_TRUE(lines[0].starts_with("vm1 out 54 ")) << lines[0];
  EXPECT_NE(lines[0].find("SYN"), std::string::npos) << lines[0];
  EXPECT_NE(lines[1].find("udp"), std::string::npos) << lines[1];
  EXPECT_TRUE(lines[2].starts_with("vm1 in 54 ")) << lines[2];
}

}  // namespace
}  // namespace vtl::iface
