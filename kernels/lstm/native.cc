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
#include <algorithm>

#include "native_backward.h"
#include "native_forward.h"
#include "native_weights.h"

namespace {

float* or_none(Result array) {
  return array->element_count() ? array->typed_data() : nullptr;
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
