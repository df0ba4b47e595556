// The backward sweep; native.cc says how it goes about it.
#pragma once
#include <algorithm>
#include <vector>

#include "native_steps.h"

namespace {

// Rows `first` .. of whᵀ: [4·hidden, kBack cells].
void pack_transposed(const float* wh, long hidden, long first, float* to) {
  const long count = std::min<long>(kBack, hidden - first);
  for (long k = 0; k < kGates * hidden; ++k, to += kBack) {
    for (long n = 0; n < count; ++n) to[n] = wh[(first + n) * kGates * hidden + k];
    std::fill(to + count, to + kBack, 0.f);
  }
}

struct Backward {
  long time, batch, hidden;
  const float *gates, *cells, *dy;
  std::vector<float> packed;  // [panels, 4·hidden, kBack]
  Masks masks;
  bool reverse;  // of the forward sweep
  float *dz, *dh, *dc;  // the last two [batch, hidden]: they arrive, and they leave

  long panels() const { return (hidden + kBack - 1) / kBack; }
  long at(long i) const { return reverse ? i : time - 1 - i; }

  // Before a step: dz of its rows.
  void enter(long t, long first, long last) {
    for (long b = first; b < last; ++b) gate_gradients(t, b);
  }

  // dz of one row, and the cotangent of the c that entered the step.
  void gate_gradients(long t, long b) {
    const long row = t * batch + b;
    float* to = dz + row * kGates * hidden;
    if (!masks.valid(t, b)) {
      std::fill(to, to + kGates * hidden, 0.f);
      return;
    }
    const float* kept = gates + row * kGates * hidden;
    for (long j = 0; j < hidden; j += kLanes) {
      const long count = std::min<long>(kLanes, hidden - j), at = b * hidden + j;
      const Vector i = load(kept + j, count), f = load(kept + hidden + j, count);
      const Vector g = load(kept + 2 * hidden + j, count);
      const Vector o = load(kept + 3 * hidden + j, count);
      const Vector c = load(cells + row * hidden + j, count);
      const Vector arrived = load(dh + at, count) + load(dy + row * hidden + j, count);
      const Vector squashed = native::tanh(f * c + i * g);
      const Vector through =
          load(dc + at, count) + arrived * o * (1.f - squashed * squashed);
      store(to + j, through * g * i * (1.f - i), count);
      store(to + hidden + j, through * c * f * (1.f - f), count);
      store(to + 2 * hidden + j, through * i * (1.f - g * g), count);
      store(to + 3 * hidden + j, arrived * squashed * o * (1.f - o), count);
      store(dc + at, masks.reset(t, b) ? Vector{} : through * f, count);
    }
  }

  // The cotangent of the h that entered the step, for rows and one panel of cells.
  void step(long t, long first, long last, long panel) {
    native::in_blocks<kRows>(last - first, [&](long begin, auto rows) {
      tile<decltype(rows)::value>(t, first + begin, panel);
    });
  }

  template <int R>
  void tile(long t, long first, long panel) {
    const long wide = kGates * hidden;
    Vector sums[R][kBackVectors] = {};
    native::multiply_add(sums, dz + (t * batch + first) * wide, wide, 1,
                         &packed[panel * wide * kBack], wide);
    for (int r = 0; r < R; ++r) {
      const long b = first + r;
      if (!masks.valid(t, b)) continue;  // the state went by it
      for (int v = 0; v < kBackVectors; ++v) {
        const long cell = panel * kBack + v * kLanes, count = hidden - cell;
        if (count <= 0) break;
        Vector value = sums[r][v];
        const long at = b * hidden + cell;
        if (masks.h_mask) value *= load(masks.h_mask + at, count);
        store(dh + at, masks.reset(t, b) ? Vector{} : value, count);
      }
    }
  }

  void finish(long, long) {}  // h and c leave where they arrived
};

}  // namespace
