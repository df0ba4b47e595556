// What the sweeps have in common: sizes of tiles, masks, who takes which rows.
#pragma once
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
using Floats = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;
using Lengths = ffi::Buffer<ffi::S32>;
using Flags = ffi::Buffer<ffi::PRED>;

// Which steps a row takes and where it starts anew; empty arrays are none.
struct Masks {
  const int32_t* lengths;
  const bool* resets;
  const float* h_mask;
  long batch;

  Masks(Lengths lengths, Flags resets, Floats h_mask, long batch)
      : lengths(lengths.element_count() ? lengths.typed_data() : nullptr),
        resets(resets.element_count() ? resets.typed_data() : nullptr),
        h_mask(h_mask.element_count() ? h_mask.typed_data() : nullptr), batch(batch) {}

  bool valid(long t, long b) const { return !lengths || t < lengths[b]; }
  bool reset(long t, long b) const { return resets && resets[t * batch + b]; }
};

// Whether threads take rows, each through all steps, or share the cells of each step.
bool by_rows(long batch, long threads) {
  return batch >= 2 * kGateRows || threads == 1;
}

}  // namespace
