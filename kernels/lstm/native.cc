// The two sweeps of an LSTM: products and gates of a step in one pass over registers.
//
// forward   a tile is the four gates of kLanes cells in a few rows: once x·wx + h·wh is
//           summed, the gates, c and h are made of it before anything is written
// backward  dz of a row is made from its kept gates, then dz·whᵀ is summed in tiles
//
// Weights are packed once a call into the order in which tiles read them. Rows of the
// batch know nothing of each other, so each thread takes some through all steps, and
// waits for nobody; where rows are few and the weights large, threads share each step's
// cells instead, and the weights are read once a step, not once a thread.
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <vector>

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

float* or_none(Result array) {
  return array->element_count() ? array->typed_data() : nullptr;
}

// Columns of all four gates for kLanes cells side by side: [depth, i f g o of the cells].
void pack_gates(const float* w, long depth, long hidden, long cell, float* to) {
  const long count = std::min<long>(kLanes, hidden - cell);
  for (long k = 0; k < depth; ++k)
    for (int gate = 0; gate < kGates; ++gate, to += kLanes)
      store(to, load(w + (k * kGates + gate) * hidden + cell, count));
}

// Rows `first` .. of whᵀ: [4·hidden, kBack cells].
void pack_transposed(const float* wh, long hidden, long first, float* to) {
  const long count = std::min<long>(kBack, hidden - first);
  for (long k = 0; k < kGates * hidden; ++k, to += kBack) {
    for (long n = 0; n < count; ++n) to[n] = wh[(first + n) * kGates * hidden + k];
    std::fill(to + count, to + kBack, 0.f);
  }
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
    const long blocks = (last - first + kGateRows - 1) / kGateRows;
    for (long block = 0; block < blocks; ++block) {
      const long begin = first + native::block_start(last - first, blocks, block);
      const long end = first + native::block_start(last - first, blocks, block + 1);
      native::with_rows<kGateRows>(end - begin, [&](auto rows) {
        tile<decltype(rows)::value>(t, begin, panel);
      });
    }
  }

  template <int R>
  void tile(long t, long first, long panel) {
    const long cell = panel * kLanes, count = std::min<long>(kLanes, hidden - cell);
    const long wide = kGates * hidden, row = t * batch + first;
    Vector sums[R][kGates];
    for (int r = 0; r < R; ++r)
      for (int gate = 0; gate < kGates; ++gate) {
        const float* from = xp ? xp + (row + r) * wide : bias;
        sums[r][gate] = load(from + gate * hidden + cell, count);
      }
    const float* w = &packed[panel * depth() * kGates * kLanes];
    if (x)
      native::multiply_add(sums, x + row * features, features, 1, w, features);
    const float* before = (masks.h_mask ? seen : h).data() + first * hidden;
    native::multiply_add(sums, before, hidden, 1, w + features * kGates * kLanes, hidden);
    for (int r = 0; r < R; ++r) leave(sums[r], t, first + r, cell, count);
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

void run(ffi::ThreadPool pool, Forward& of) {
  const long threads = native::threads(pool), panels = of.panels();
  auto at = [&](long i) { return of.reverse ? of.time - 1 - i : i; };
  if (by_rows(of.batch, threads)) {
    const long groups = std::min(threads, std::max(1L, of.batch / kGateRows));
    native::share(pool, groups, [&](long group) {
      const long first = native::block_start(of.batch, groups, group);
      const long last = native::block_start(of.batch, groups, group + 1);
      for (long i = 0; i < of.time; ++i) {
        of.enter(at(i), first, last);
        for (long p = 0; p < panels; ++p) of.step(at(i), first, last, p);
        of.finish(first, last);
      }
    });
    return;
  }
  for (long i = 0; i < of.time; ++i) {
    of.enter(at(i), 0, of.batch);
    const long tasks = std::min(panels, threads);
    native::share(pool, tasks, [&](long task) {
      const long last = native::block_start(panels, tasks, task + 1);
      for (long p = native::block_start(panels, tasks, task); p < last; ++p)
        of.step(at(i), 0, of.batch, p);
    });
    of.finish(0, of.batch);
  }
}

ffi::Error RunForward(ffi::ThreadPool pool, Floats x, Floats wx, Floats b, Floats wh,
                      Floats h, Floats c, Floats h_mask, Lengths lengths, Flags resets,
                      Result y, Result last_h, Result last_c, Result gates,
                      Result cells, bool reverse) {
  const long time = x.dimensions()[0], batch = x.dimensions()[1];
  const long hidden = wh.dimensions()[0], features = wx.dimensions()[0];
  const bool streamed = b.element_count() > 0;
  const auto size = batch * hidden;
  std::copy(c.typed_data(), c.typed_data() + size, last_c->typed_data());
  Forward of{time, batch, features, hidden,
             streamed ? x.typed_data() : nullptr,
             streamed ? nullptr : x.typed_data(), b.typed_data(), {},
             Masks(lengths, resets, h_mask, batch), reverse,
             y->typed_data(), or_none(gates), or_none(cells),
             std::vector<float>(h.typed_data(), h.typed_data() + size),
             std::vector<float>(h_mask.element_count() ? size : 0),
             std::vector<float>(size), last_c->typed_data()};
  const long panel_size = of.depth() * kGates * kLanes;
  of.packed.resize(of.panels() * panel_size);
  native::share(pool, of.panels(), [&](long panel) {
    float* to = &of.packed[panel * panel_size];
    pack_gates(wx.typed_data(), features, hidden, panel * kLanes, to);
    to += features * kGates * kLanes;
    pack_gates(wh.typed_data(), hidden, hidden, panel * kLanes, to);
  });
  run(pool, of);
  std::copy(of.h.begin(), of.h.end(), last_h->typed_data());
  return ffi::Error::Success();
}

struct Backward {
  long time, batch, hidden;
  const float *gates, *cells, *dy;
  std::vector<float> packed;  // [panels, 4·hidden, kBack]
  Masks masks;
  bool reverse;  // of the forward sweep
  float *dz, *dh, *dc;  // the last two [batch, hidden]: they arrive, and they leave

  long panels() const { return (hidden + kBack - 1) / kBack; }

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
  void state_gradients(long t, long first, long last, long panel) {
    const long blocks = (last - first + kRows - 1) / kRows;
    for (long block = 0; block < blocks; ++block) {
      const long begin = first + native::block_start(last - first, blocks, block);
      const long end = first + native::block_start(last - first, blocks, block + 1);
      native::with_rows<kRows>(end - begin, [&](auto rows) {
        tile<decltype(rows)::value>(t, begin, panel);
      });
    }
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
};

void run(ffi::ThreadPool pool, Backward& of) {
  const long threads = native::threads(pool), panels = of.panels();
  auto at = [&](long i) { return of.reverse ? i : of.time - 1 - i; };
  if (by_rows(of.batch, threads)) {
    const long groups = std::min(threads, std::max(1L, of.batch / kGateRows));
    native::share(pool, groups, [&](long group) {
      const long first = native::block_start(of.batch, groups, group);
      const long last = native::block_start(of.batch, groups, group + 1);
      for (long i = 0; i < of.time; ++i) {
        for (long b = first; b < last; ++b) of.gate_gradients(at(i), b);
        for (long p = 0; p < panels; ++p) of.state_gradients(at(i), first, last, p);
      }
    });
    return;
  }
  for (long i = 0; i < of.time; ++i) {
    for (long b = 0; b < of.batch; ++b) of.gate_gradients(at(i), b);
    const long tasks = std::min(panels, threads);
    native::share(pool, tasks, [&](long task) {
      const long last = native::block_start(panels, tasks, task + 1);
      for (long p = native::block_start(panels, tasks, task); p < last; ++p)
        of.state_gradients(at(i), 0, of.batch, p);
    });
  }
}

ffi::Error RunBackward(ffi::ThreadPool pool, Floats gates, Floats cells, Floats wh,
                       Floats dy, Floats dh, Floats dc, Floats h_mask, Lengths lengths,
                       Flags resets, Result dz, Result initial_h, Result initial_c,
                       bool reverse) {
  const long time = dy.dimensions()[0], batch = dy.dimensions()[1];
  const long hidden = wh.dimensions()[0], size = batch * hidden;
  std::copy(dh.typed_data(), dh.typed_data() + size, initial_h->typed_data());
  std::copy(dc.typed_data(), dc.typed_data() + size, initial_c->typed_data());
  Backward of{time, batch, hidden,
              gates.typed_data(), cells.typed_data(), dy.typed_data(), {},
              Masks(lengths, resets, h_mask, batch), reverse,
              dz->typed_data(), initial_h->typed_data(), initial_c->typed_data()};
  const long panel_size = kGates * hidden * kBack;
  of.packed.resize(of.panels() * panel_size);
  native::share(pool, of.panels(), [&](long panel) {
    pack_transposed(wh.typed_data(), hidden, panel * kBack,
                    &of.packed[panel * panel_size]);
  });
  run(pool, of);
  return ffi::Error::Success();
}

// Weight gradients: Σ over steps and rows of (x, h)ᵀ·dz, and of dz alone for the bias.
struct Weights {
  long rows, features, hidden, columns;  // rows: of all steps; columns: 4·hidden
  const float *x, *h, *dz;
  float *dwx, *dwh, *db;

  // Rows at a time: packed, 14 columns of x are 21 KB and stay in a first-level cache,
  // 16 panels of dz are 768 KB and stay in a second-level one.
  static constexpr long kChunk = 384, kPanels = 16;

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
    const long blocks = (size + kRows - 1) / kRows;
    for (long i = 0; i < blocks; ++i) {
      const long begin = native::block_start(size, blocks, i);
      const long count = native::block_start(size, blocks, i + 1) - begin;
      native::with_rows<kRows>(count, [&](auto constant) {
        constexpr int R = decltype(constant)::value;
        for (long k = 0; k < depth; ++k)
          std::memcpy(block + k * R, left + k * size + begin, R * sizeof(float));
        for (long panel = first; panel < last; ++panel)
          tile<R>(block, packed + (panel - first) * kChunk * kBack, depth, panel,
                  to + begin * columns + panel * kBack);
      });
    }
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

ffi::Error RunWeights(ffi::ThreadPool pool, Floats x, Floats h, Floats dz, Result dwx,
                      Result dwh, Result db) {
  const auto in = x.dimensions(), out = h.dimensions();
  Weights of{in[0] * in[1], in[2], out[2], dz.dimensions()[2],
             x.typed_data(), h.typed_data(), dz.typed_data(),
             dwx->typed_data(), dwh->typed_data(), db->typed_data()};
  for (Result* result : {&dwx, &dwh, &db})
    std::fill_n((*result)->typed_data(), (*result)->element_count(), 0.f);
  const long rounds = of.panels() / (native::threads(pool) * Weights::kPanels) + 1;
  const long tasks = std::min(native::threads(pool) * rounds, of.panels());
  native::share(pool, tasks, [&](long task) {
    of.sum(native::block_start(of.panels(), tasks, task),
           native::block_start(of.panels(), tasks, task + 1));
  });
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(NativeLstmForward, RunForward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Floats>()   // x, or xp
                                  .Arg<Floats>()   // wx
                                  .Arg<Floats>()   // b
                                  .Arg<Floats>()   // wh
                                  .Arg<Floats>()   // h
                                  .Arg<Floats>()   // c
                                  .Arg<Floats>()   // h_mask
                                  .Arg<Lengths>()  // lengths
                                  .Arg<Flags>()    // resets
                                  .Ret<Floats>()   // y
                                  .Ret<Floats>()   // last h
                                  .Ret<Floats>()   // last c
                                  .Ret<Floats>()   // gates
                                  .Ret<Floats>()   // cells
                                  .Attr<bool>("reverse"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(NativeLstmBackward, RunBackward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Floats>()   // gates
                                  .Arg<Floats>()   // cells
                                  .Arg<Floats>()   // wh
                                  .Arg<Floats>()   // dy
                                  .Arg<Floats>()   // dh
                                  .Arg<Floats>()   // dc
                                  .Arg<Floats>()   // h_mask
                                  .Arg<Lengths>()  // lengths
                                  .Arg<Flags>()    // resets
                                  .Ret<Floats>()   // dz
                                  .Ret<Floats>()   // initial dh
                                  .Ret<Floats>()   // initial dc
                                  .Attr<bool>("reverse"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(NativeLstmWeights, RunWeights,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Floats>()   // x
                                  .Arg<Floats>()   // h, as wh saw it
                                  .Arg<Floats>()   // dz
                                  .Ret<Floats>()   // dwx
                                  .Ret<Floats>()   // dwh
                                  .Ret<Floats>()   // db
);
