#include "vtl/engine/engine.h"

#include <absl/container/flat_hash_map.h>
#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <random>
#include <utility>

#include "vtl/engine/share.h"

namespace vtl::engine {
namespace {

std::uint64_t system_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

// Counts down on any thread, waited for on another.
class Latch {
 public:
  explicit Latch(std::size_t n) : left_(n) {}
  void one_less() {
    const std::scoped_lock lock(mutex_);
    if (--left_ == 0) zero_.notify_all();
  }
  bool wait_for(Duration longest) {
    std::unique_lock lock(mutex_);
    return zero_.wait_for(lock, longest, [this] { return left_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable zero_;
  std::size_t left_;
};

}  // namespace

Engine::Engine() = default;

Engine::~Engine() {
  stop(Duration::zero());
}

bool Engine::running() const noexcept {
  return !shares_.empty();
}

std::uint32_t Engine::workers() const noexcept {
  return static_cast<std::uint32_t>(shares_.size());
}

Outcome<void> Engine::start(EngineConfig config) {
  assert(!running());
  config_ = std::move(config);
  auto placed = place(config_);
  if (!placed) return std::unexpected(placed.error());
  placement_ = std::make_unique<Placement>(std::move(*placed));
  auto built = build();
  if (!built) {
    tear_down();
    return built;
  }
  on_each([](Share& share) { share.start(); });
  started_ = SystemClock().now();
  return {};
}

Outcome<void> Engine::build() {
  const std::uint64_t seed = config_.seed ? *config_.seed : system_seed();
  for (std::uint32_t i = 0; i < config_.workers; ++i) {
    auto worker = Worker::create(i, config_.worker);
    if (!worker) return std::unexpected(worker.error());
    shares_.push_back(std::make_unique<Share>(config_, *placement_, std::move(*worker), seed));
    if (auto made = shares_.back()->make_services(); !made) return made;
  }
  for (auto& share : shares_) {
    if (auto started = share->worker->start(); !started) return started;
  }
  Outcome<void> result;
  on_each([&result](Share& share) {
    if (result) result = share.open();
  });
  return result;
}

void Engine::on_each(const std::function<void(Share&)>& task) {
  for (auto& share : shares_) {
    assert(!share->worker->on_own_thread() && "a worker cannot wait for itself");
    std::promise<void> done;
    share->worker->post([&] {
      task(*share);
      done.set_value();
    });
    done.get_future().wait();
  }
}

bool Engine::stop(Duration grace) {
  if (!running()) return true;
  bool in_order = true;
  if (grace > Duration::zero()) {
    const auto latch = std::make_shared<Latch>(shares_.size());
    for (auto& share : shares_) {
      share->worker->post([latch, s = share.get()] { s->stop([latch] { latch->one_less(); }); });
    }
    in_order = latch->wait_for(grace);
  }
  tear_down();
  return in_order;
}

void Engine::tear_down() {
  for (auto& share : shares_) {
    if (!share->worker->started()) continue;  // nothing was opened on it
    share->worker->post([s = share.get()] { s->close(); });
    share->worker->stop();
  }
  for (auto& share : shares_) share->worker->join();
  shares_.clear();
}

void Engine::post(std::uint32_t worker, std::function<void(Worker&)> task) {
  assert(worker < shares_.size());
  auto& target = *shares_[worker]->worker;
  target.post([&target, task = std::move(task)] { task(target); });
}

bool Engine::post_to_link(const std::string& name, std::function<void(Link&)> task) {
  for (std::size_t i = 0; i < config_.links.size(); ++i) {
    if (config_.links[i].name != name) continue;
    for (auto& share : shares_) {
      if (share->links.size() <= i) continue;
      share->worker->post([s = share.get(), i, task] {
        if (i < s->links.size() && s->links[i] != nullptr) task(*s->links[i]);
      });
    }
    return true;
  }
  return false;
}

Outcome<void> Engine::act(const std::string& link, std::string_view kind, std::string_view action) {
  bool linked = false;
  bool served = false;
  Outcome<void> result;
  on_each([&](Share& share) {
    for (const auto& candidate : share.links) {
      if (candidate == nullptr || candidate->name() != link) continue;
      linked = true;
      for (std::uint32_t i = 0; i < candidate->services(); ++i) {
        Service& service = candidate->service(i);
        if (service.kind() != kind) continue;
        served = true;
        if (auto acted = service.act(action); !acted && result) result = acted;
      }
    }
  });
  if (!linked) {
    std::vector<std::string_view> names;
    for (const auto& known : config_.links) names.push_back(known.name);
    return fail(fmt::format("no link '{}'; there are: {}", link, fmt::join(names, " ")));
  }
  if (!served) return fail(fmt::format("link '{}' has no {}", link, kind));
  return result;
}

std::vector<FlowInfo> Engine::list_flows() {
  std::vector<FlowInfo> flows;
  on_each([&flows](Share& share) {
    for (const auto& link : share.links) {
      if (link != nullptr) link->list_flows(flows);
    }
  });
  return flows;
}

namespace {

// Adds the numbers of one more worker to those already there.
void merge(std::vector<ServiceMetric>& into, const std::vector<ServiceMetric>& more) {
  for (const auto& metric : more) {
    auto same = std::find_if(into.begin(), into.end(),
                             [&](const ServiceMetric& m) { return m.name == metric.name; });
    if (same == into.end()) {
      into.push_back(metric);
    } else {
      same->value += metric.value;
    }
  }
}

}  // namespace

std::vector<MetricGroup> Engine::list_metrics() {
  // By link, then by place in the chain; the observer comes last.
  std::vector<std::vector<MetricGroup>> groups(config_.links.size());
  on_each([&](Share& share) {
    for (std::size_t l = 0; l < share.links.size(); ++l) {
      if (share.links[l] == nullptr) continue;
      const Link& link = *share.links[l];
      groups[l].resize(link.services() + 1);
      std::vector<ServiceMetric> metrics;
      for (std::uint32_t i = 0; i <= link.services(); ++i) {
        metrics.clear();
        if (i < link.services()) {
          link.service(i).list_metrics(metrics);
          groups[l][i].service = link.service(i).kind();
        } else if (link.observer() != nullptr) {
          link.observer()->list_metrics(metrics);
          groups[l][i].service = "observer";
        }
        groups[l][i].link = link.name();
        merge(groups[l][i].metrics, metrics);
      }
    }
  });
  std::vector<MetricGroup> all;
  for (auto& of_link : groups) {
    for (auto& group : of_link) {
      if (!group.metrics.empty()) all.push_back(std::move(group));
    }
  }
  return all;
}

}  // namespace vtl::engine
