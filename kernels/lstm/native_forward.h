// The forward sweep; native.cc says how it goes about it.
#pragma once
#include <algorithm>
#include <vector>

#include "native_steps.h"

namespace {

// Columns of all four gates for kLanes cells side by side: [depth, i f g o of the cells].
void pack_gates(const float* w, long depth, long hidden, long cell, float* to) {
  const long count = std::min<long>(kLanes, hidden - cell);
  for (long k = 0; k < depth; ++k)
    for (int gate = 0; gate < kGates; ++gate, to += kLanes)
      store(to, load(w + (k * kGates + gate) * hidden + cell, count));
}

struct Forward {
  long time, batch, features, hidden;
  const float *x, *xp, *bias;  // x with features and a bias, or xp
  std::vector<float> packed;   // [panels, features + hidden, 4·kLanes]
  Masks masks;
  bool reverse;
  float *y, *gates, *cells;
  // The state, [batch, hidden]: h that enters a step, as wh sees it, and what leaves.
  std::vector<float> h, seen, next;
  float* c;

  long panels() const { return (hidden + kLanes - 1) / kLanes; }
  long depth() const { return features + hidden; }
  long at(long i) const { return reverse ? time - 1 - i : i; }

  // Before a step: restarts rows and masks what wh sees.
  void enter(long t, long first, long last) {
    for (long b = first; b < last; ++b) {
      float *row = h.data() + b * hidden, *cell = c + b * hidden;
      if (masks.reset(t, b) && masks.valid(t, b)) {
        std::fill(row, row + hidden, 0.f);
        std::fill(cell, cell + hidden, 0.f);
      }
      if (masks.h_mask)
        for (long j = 0; j < hidden; ++j)
          seen[b * hidden + j] = row[j] * masks.h_mask[b * hidden + j];
    }
  }

  // One step of rows first .. last for one panel of cells.
  void step(long t, long first, long last, long panel) {
    native::in_blocks<kRows>(last - first, [&](long begin, auto rows) {
      tile<decltype(rows)::value>(t, first + begin, panel);
    });
  }

  template <int R>
  void tile(long t, long first, long panel) {
    const long cell = panel * kLanes, count = std::min<long>(kLanes, hidden - cell);
    const long wide = kGates * hidden, row = t * batch + first;
    const float* before = (masks.h_mask ? seen : h).data() + first * hidden;
    const float* w = &packed[panel * depth() * kGates * kLanes];
    // All gates at once need few rows; of more, two gates at a time, w is read for twice
    // as many rows: with 6 rows instead of 3 a sweep took 0.83 of its time (AVX2, batch
    // 64, 256 → 256), while of one row 2 sums wait for each other.
    constexpr int kAtOnce = R > kGateRows ? kGates / 2 : kGates, kPitch = kGates * kLanes;
    Vector z[R][kGates];
    for (int gate = 0; gate < kGates; gate += kAtOnce, w += kAtOnce * kLanes) {
      Vector sums[R][kAtOnce];
      for (int r = 0; r < R; ++r)
        for (int v = 0; v < kAtOnce; ++v) {
          const float* from = xp ? xp + (row + r) * wide : bias;
          sums[r][v] = load(from + (gate + v) * hidden + cell, count);
        }
      if (x)
        native::multiply_add(sums, x + row * features, features, 1, w, features, kPitch);
      native::multiply_add(sums, before, hidden, 1, w + features * kPitch, hidden, kPitch);
      for (int r = 0; r < R; ++r)
        for (int v = 0; v < kAtOnce; ++v) z[r][gate + v] = sums[r][v];
    }
    for (int r = 0; r < R; ++r) leave(z[r], t, first + r, cell, count);
  }

  // From one row's sums to its gates, c and h.
  void leave(Vector (&sums)[kGates], long t, long b, long cell, long count) {
    const long at = b * hidden + cell, out = (t * batch + b) * hidden + cell;
    const Vector before = load(c + at, count);
    const Vector i = native::sigmoid(sums[0]), f = native::sigmoid(sums[1]);
    const Vector g = native::tanh(sums[2]), o = native::sigmoid(sums[3]);
    if (cells) store(cells + out, before, count);
    if (gates) {
      float* to = gates + (t * batch + b) * kGates * hidden + cell;
      store(to, i, count), store(to + hidden, f, count);
      store(to + 2 * hidden, g, count), store(to + 3 * hidden, o, count);
    }
    if (!masks.valid(t, b)) {
      store(&next[at], load(&h[at], count), count);
      store(y + out, Vector{}, count);
      return;
    }
    const Vector after = f * before + i * g, h_after = o * native::tanh(after);
    store(c + at, after, count);
    store(&next[at], h_after, count);
    store(y + out, h_after, count);
  }

  void finish(long first, long last) {
    std::copy_n(next.data() + first * hidden, (last - first) * hidden,
                h.data() + first * hidden);
  }
};

}  // namespace
