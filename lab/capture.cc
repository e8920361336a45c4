#include "lab/capture.h"

#include <fmt/format.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

namespace vtl::lab {
namespace {

constexpr int kRingOctets = 32 * 1024 * 1024;
constexpr int kSilentRounds = 20;
constexpr int kReadTimeoutMs = 5;

struct ClosePcap {
  void operator()(pcap_t* pcap) const { ::pcap_close(pcap); }
};
struct CloseDump {
  void operator()(pcap_dumper_t* dump) const { ::pcap_dump_close(dump); }
};
using Pcap = std::unique_ptr<pcap_t, ClosePcap>;
using Dump = std::unique_ptr<pcap_dumper_t, CloseDump>;

Outcome<Pcap> open_device(const std::string& device, const CaptureOptions& options) {
  char error[PCAP_ERRBUF_SIZE] = {};
  Pcap pcap(::pcap_create(device.c_str(), error));
  if (!pcap) return fail(error);
  ::pcap_set_snaplen(pcap.get(), options.snap_length);
  ::pcap_set_promisc(pcap.get(), 1);
  ::pcap_set_timeout(pcap.get(), kReadTimeoutMs);
  ::pcap_set_buffer_size(pcap.get(), kRingOctets);
  ::pcap_set_tstamp_precision(pcap.get(), PCAP_TSTAMP_PRECISION_NANO);
  if (const int status = ::pcap_activate(pcap.get()); status < 0) {
    const char* const detail = ::pcap_geterr(pcap.get());
    return fail(*detail != '\0' ? detail : ::pcap_statustostr(status));
  }
  if (options.direction != CaptureDirection::kBoth) {
    const auto direction = options.direction == CaptureDirection::kIn ? PCAP_D_IN : PCAP_D_OUT;
    if (::pcap_setdirection(pcap.get(), direction) != 0) return fail(::pcap_geterr(pcap.get()));
  }
  if (!options.filter.empty()) {
    bpf_program program{};
    if (::pcap_compile(pcap.get(), &program, options.filter.c_str(), 1, PCAP_NETMASK_UNKNOWN) !=
        0) {
      return fail(fmt::format("filter '{}': {}", options.filter, ::pcap_geterr(pcap.get())));
    }
    const int set = ::pcap_setfilter(pcap.get(), &program);
    ::pcap_freecode(&program);
    if (set != 0) return fail(::pcap_geterr(pcap.get()));
  }
  if (::pcap_setnonblock(pcap.get(), 1, error) != 0) return fail(error);
  return pcap;
}

}  // namespace

struct Capture::State {
  Pcap pcap;
  Dump dump;
  Fd stop_event;
  std::filesystem::path file;
  std::atomic<std::uint64_t> frames{0};
  std::thread reader;

  static void keep(u_char* self, const pcap_pkthdr* header, const u_char* bytes) {
    auto* const state = reinterpret_cast<State*>(self);
    ::pcap_dump(reinterpret_cast<u_char*>(state->dump.get()), header, bytes);
    state->frames.fetch_add(1, std::memory_order_relaxed);
  }

  /// Writes what the kernel holds ready. False when the device is gone.
  bool drain() {
    int count = 0;
    while ((count = ::pcap_dispatch(pcap.get(), -1, keep, reinterpret_cast<u_char*>(this))) > 0) {
    }
    ::pcap_dump_flush(dump.get());
    return count == 0;
  }

  [[nodiscard]] pcap_stat statistics() const {
    pcap_stat result{};
    ::pcap_stats(pcap.get(), &result);
    return result;
  }

  void read_until_stopped() {
    pollfd polls[] = {{::pcap_get_selectable_fd(pcap.get()), POLLIN, 0},
                      {stop_event.get(), POLLIN, 0}};
    bool alive = true;
    while (alive && (polls[1].revents & POLLIN) == 0) {
      ::poll(polls, 2, -1);
      alive = drain();
    }
    // What the kernel has counted and not yet handed over comes with its next timeout. It has also
    // counted what came before the filter was set and never comes.
    const auto seen = statistics();
    for (int silent = 0; alive && silent < kSilentRounds && frames + seen.ps_drop < seen.ps_recv;) {
      const std::uint64_t before = frames;
      ::poll(polls, 1, kReadTimeoutMs);
      alive = drain();
      silent = frames == before ? silent + 1 : 0;
    }
  }

  ~State() { finish(); }

  void finish() {
    if (!reader.joinable()) return;
    constexpr std::uint64_t kOne = 1;
    (void)!::write(stop_event.get(), &kOne, sizeof kOne);
    reader.join();
  }
};

Capture::Capture(std::unique_ptr<State> state) : state_(std::move(state)) {}
Capture::Capture(Capture&&) noexcept = default;
Capture& Capture::operator=(Capture&&) noexcept = default;
Capture::~Capture() = default;

Outcome<Capture> Capture::start(Host& host, const std::string& device,
                                const CaptureOptions& options) {
  auto state = std::make_unique<State>();
  state->file = options.file;
  if (state->file.empty()) {
    state->file = host.folder() / fmt::format("{}-{}.pcap", host.name(), device);
  }
  const InHost inside = host.enter();
  auto pcap = open_device(device, options);
  if (!pcap) {
    return fail(fmt::format("host {}: cannot capture on {}: {}", host.name(), device,
                            pcap.error().message));
  }
  state->pcap = std::move(*pcap);
  state->dump.reset(::pcap_dump_open(state->pcap.get(), state->file.c_str()));
  if (!state->dump) return fail(::pcap_geterr(state->pcap.get()));
  state->stop_event = Fd(::eventfd(0, EFD_CLOEXEC));
  if (!state->stop_event) return fail(fmt::format("no eventfd: {}", std::strerror(errno)));
  state->reader = std::thread([at = state.get()] { at->read_until_stopped(); });
  return Capture(std::move(state));
}

const std::filesystem::path& Capture::file() const noexcept {
  return state_->file;
}
std::uint64_t Capture::frames() const noexcept {
  return state_->frames;
}

CaptureResult Capture::stop() {
  state_->finish();
  return {state_->file, state_->frames, state_->statistics().ps_drop};
}

}  // namespace vtl::lab
