// The weight gradients, of all steps at once.
#pragma once
#include <algorithm>
#include <cstring>
#include <tuple>
#include <vector>

#include "native_steps.h"

namespace {

// Weight gradients: Σ over steps and rows of (x, h)ᵀ·dz, and of dz alone for the bias.
struct Weights {
  long rows, features, hidden, columns;  // rows: of all steps; columns: 4·hidden
  const float *x, *h, *dz;
  float *dwx, *dwh, *db;

  // Rows at a time, and columns of dz: packed, these are 512 KB and stay in a
  // second-level cache while every block of x's and h's columns, 6 KB, goes by them. With
  // half as many columns and 384 rows it took 1.09 of the time (AVX2, 256 → 256).
  static constexpr long kChunk = 256, kPanels = 512 / kBack;

  long panels() const { return (columns + kBack - 1) / kBack; }
  long wide(long panel, int v) const {  // columns of one vector of a panel
    return std::clamp<long>(columns - panel * kBack - v * kLanes, 0, kLanes);
  }

  // Panels first .. last of the columns.
  void sum(long first, long last) {
    std::vector<float> packed((last - first) * kChunk * kBack), block(kChunk * kRows);
    for (long start = 0; start < rows; start += kChunk) {
      const long depth = std::min(kChunk, rows - start);
      for (long panel = first; panel < last; ++panel)
        pack(start, depth, panel, &packed[(panel - first) * kChunk * kBack]);
      for (const auto& [left, size, to] : {std::tuple{x, features, dwx}, {h, hidden, dwh}})
        add(left + start * size, size, depth, first, last, packed.data(), block.data(),
            to);
    }
  }

  // dz of one panel side by side; its sum over rows is the bias' gradient.
  void pack(long start, long depth, long panel, float* to) {
    Vector sums[kBackVectors] = {};
    const float* from = dz + start * columns + panel * kBack;
    for (long k = 0; k < depth; ++k, from += columns, to += kBack)
      for (int v = 0; v < kBackVectors; ++v) {
        const Vector values = load(from + v * kLanes, wide(panel, v));
        store(to + v * kLanes, values);
        sums[v] += values;
      }
    for (int v = 0; v < kBackVectors; ++v) {
      float* bias = db + panel * kBack + v * kLanes;
      store(bias, load(bias, wide(panel, v)) + sums[v], wide(panel, v));
    }
  }

  void add(const float* left, long size, long depth, long first, long last,
           const float* packed, float* block, float* to) {
    native::in_blocks<kRows>(size, [&](long begin, auto count) {
      constexpr int R = decltype(count)::value;
      for (long k = 0; k < depth; ++k)
        std::memcpy(block + k * R, left + k * size + begin, R * sizeof(float));
      for (long panel = first; panel < last; ++panel)
        tile<R>(block, packed + (panel - first) * kChunk * kBack, depth, panel,
                to + begin * columns + panel * kBack);
    });
  }

  template <int R>
  void tile(const float* block, const float* packed, long depth, long panel, float* to) {
    Vector sums[R][kBackVectors];
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < kBackVectors; ++v)
        sums[r][v] = load(to + r * columns + v * kLanes, wide(panel, v));
    native::multiply_add(sums, block, 1, R, packed, depth);
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < kBackVectors; ++v)
        store(to + r * columns + v * kLanes, sums[r][v], wide(panel, v));
  }
};

}  // namespace
