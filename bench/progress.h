// Progress: what a long run is doing now, and what each step gave.
//
// On a terminal the step that runs is one line with a bar that moves; when it ends the line tells
// its result. Piped, every step is one plain line, written when it ends.
//
// Thread rule: one thread.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "bench/table.h"

namespace vtl::bench {

class Progress {
 public:
  /// Writes to `out`; `steps` is how many begin() will come.
  Progress(std::FILE* out, int steps) : out_(out), look_(look_of(out)), steps_(steps) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  void begin(std::string label);
  /// How far the step is, 0 to 1, and a word about it ("612 Mbit/s").
  void show(double fraction, std::string_view detail);
  void end(std::string_view result);
  /// A line between the steps.
  void say(std::string_view line);

 private:
  void clear_line();

  std::FILE* out_;
  Look look_;
  int steps_;
  int step_ = 0;
  std::string label_;
  bool open_ = false;
};

}  // namespace vtl::bench
