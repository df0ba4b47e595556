// What the sweeps have in common: sizes of tiles, masks, the way through the steps.
#pragma once
#include <algorithm>
#include <cstdint>

#include "../native/functions.h"
#include "../native/product.h"
#include "../native/share.h"

namespace {

namespace ffi = xla::ffi;
using native::kLanes, native::kRows, native::load, native::store, native::Vector;

constexpr int kGates = 4;              // i, f, g, o
constexpr int kGateRows = kRows / 2;   // a tile's rows: its sums are 4 vectors wide
constexpr int kBackVectors = 2, kBack = kBackVectors * kLanes;

// Which steps a row takes and where it starts anew; null where there is none.
struct Masks {
  const int32_t* lengths;
  const bool* resets;
  const float* h_mask;
  long batch;

  bool valid(long t, long b) const { return !lengths || t < lengths[b]; }
  bool reset(long t, long b) const { return resets && resets[t * batch + b]; }
};

// Whether threads take rows, each through all steps, or share the cells of each step.
bool by_rows(long batch, long threads) {
  return batch >= 2 * kGateRows || threads == 1;
}

// All steps of a sweep, at(0), at(1), …: each is entered, taken panel by panel of cells,
// and finished, for rows first .. last.
template <typename Sweep>
void run(native::Workers workers, Sweep& of) {
  const long threads = workers.count, panels = of.panels();
  if (by_rows(of.batch, threads)) {
    const long groups = std::min(threads, std::max(1L, of.batch / kGateRows));
    native::share(workers, groups, [&](long group) {
      const long first = native::block_start(of.batch, groups, group);
      const long last = native::block_start(of.batch, groups, group + 1);
      for (long i = 0; i < of.time; ++i) {
        of.enter(of.at(i), first, last);
        for (long p = 0; p < panels; ++p) of.step(of.at(i), first, last, p);
        of.finish(first, last);
      }
    });
    return;
  }
  for (long i = 0; i < of.time; ++i) {
    of.enter(of.at(i), 0, of.batch);
    const long tasks = std::min(panels, threads);
    native::share(workers, tasks, [&](long task) {
      const long last = native::block_start(panels, tasks, task + 1);
      for (long p = native::block_start(panels, tasks, task); p < last; ++p)
        of.step(of.at(i), 0, of.batch, p);
    });
    of.finish(0, of.batch);
  }
}

}  // namespace
