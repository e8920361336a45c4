#include "vtl/transport/udt_ending.h"

#include <udt/udt.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "vtl/base/log.h"
#include "vtl/base/time.h"
#include "vtl/transport/udt_option.h"

namespace vtl::transport {
namespace {

constexpr auto kLook = 10ms;
constexpr int kLooks = 30;

/// Whether libudt has given up this socket's attempt to connect. The state stays "connecting"; the
/// only trace is that a window of 0 is refused for its value, and no longer for the moment.
bool gave_up(UDTSOCKET u) {
  return UDT::getsockstate(u) == CONNECTING && !set_udt_option(u, UDT_FC, 0) &&
         UDT::getlasterror_code() == UDT::ERRORINFO::EINVPARAM;
}

class Ending {
 public:
  /// Never destroyed: it is used until the last destructor has run.
  static Ending& instance() {
    static Ending* ending = new Ending;
    return *ending;
  }

  void add(UDTSOCKET u) {
    set_udt_option(u, UDT_RCVSYN, true);
    const std::lock_guard lock(mutex_);
    attempts_.push_back({u});
    if (!thread_.joinable() && !stopping_) thread_ = std::thread([this] { run(); });
    wake_.notify_one();
  }

  bool stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      wake_.notify_one();
    }
    if (thread_.joinable()) thread_.join();
    return attempts_.empty() && left_open_ == 0;
  }

 private:
  struct Attempt {
    UDTSOCKET socket;
    int looks = 0;
  };

  void run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (attempts_.empty()) {
        wake_.wait(lock);
        continue;
      }
      wake_.wait_for(lock, kLook);
      std::erase_if(attempts_, [this](Attempt& attempt) {
        const bool over =
            UDT::getsockstate(attempt.socket) != CONNECTING || ++attempt.looks > kLooks;
        if (over) close(attempt.socket);
        return over;
      });
    }
  }

  void close(UDTSOCKET u) {
    if (!gave_up(u)) {
      UDT::close(u);
      return;
    }
    log::warn(
        "udt: an attempt to connect was ended late (the machine is overloaded, or its clock was "
        "set); its memory stays in use until the process ends; so far {}",
        ++left_open_);
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Attempt> attempts_;  // under mutex_
  bool stopping_ = false;          // under mutex_
  std::uint64_t left_open_ = 0;    // sockets that close() could not close; under mutex_
  std::thread thread_;
};

}  // namespace

void end_udt_attempt(int socket) {
  Ending::instance().add(socket);
}

bool stop_ending_udt_attempts() {
  return Ending::instance().stop();
}

}  // namespace vtl::transport
