// The two sweeps of an LSTM: products and gates of a step in one pass over registers.
//
// forward   a tile is the four gates of kLanes cells in a few rows: once x·wx + h·wh is
//           summed, the gates, c and h are made of it before anything is written
// backward  dz of a row is made from its kept gates, then dz·whᵀ is summed in tiles
//
// Weights are packed once a call into the order in which tiles read them. Rows of the
// batch know nothing of each other, so each thread takes some through all steps, and
// waits for nobody; where rows are few and the weights large, threads share each step's
// cells instead, and the weights are read once a step, not once a thread. What vmap
// makes many calls of is one call with axes in front: see native_members.h.
#include <algorithm>

#include "native_backward.h"
#include "native_forward.h"
#include "native_members.h"
#include "native_weights.h"

namespace {

ffi::Error RunForward(ffi::ThreadPool pool, Floats x, Floats wx, Floats b, Floats wh,
                      Floats h, Floats c, Floats h_mask, Lengths lengths, Flags resets,
                      Result y, Result last_h, Result last_c, Result gates,
                      Result cells, bool reverse) {
  const auto sizes = x.dimensions().last(3);
  const long time = sizes[0], batch = sizes[1], features = rows_of(wx);
  const long hidden = rows_of(wh), size = batch * hidden;
  const bool streamed = b.element_count() > 0;
  in_members(pool, members_of(x, 3), [&](Member member, native::Workers workers) {
    std::copy_n(member.of(c), size, member.of(*last_c));
    const Masks masks{member.of(lengths), member.of(resets), member.of(h_mask), batch};
    const float *from = member.of(x), *before = member.of(h);
    Forward of{time, batch, features, hidden,
               streamed ? from : nullptr, streamed ? nullptr : from, member.of(b), {},
               masks, reverse, member.of(*y), member.of(*gates), member.of(*cells),
               std::vector<float>(before, before + size),
               std::vector<float>(masks.h_mask ? size : 0), std::vector<float>(size),
               member.of(*last_c)};
    const long panel_size = of.depth() * kGates * kLanes;
    of.packed.resize(of.panels() * panel_size);
    native::share(workers, of.panels(), [&](long panel) {
      float* to = &of.packed[panel * panel_size];
      pack_gates(member.of(wx), features, hidden, panel * kLanes, to);
      to += features * kGates * kLanes;
      pack_gates(member.of(wh), hidden, hidden, panel * kLanes, to);
    });
    run(workers, of);
    std::copy(of.h.begin(), of.h.end(), member.of(*last_h));
  });
  return ffi::Error::Success();
}

ffi::Error RunBackward(ffi::ThreadPool pool, Floats gates, Floats cells, Floats wh,
                       Floats dy, Floats dh, Floats dc, Floats h_mask, Lengths lengths,
                       Flags resets, Result dz, Result initial_h, Result initial_c,
                       bool reverse) {
  const auto sizes = dy.dimensions().last(3);
  const long time = sizes[0], batch = sizes[1], hidden = rows_of(wh);
  in_members(pool, members_of(dy, 3), [&](Member member, native::Workers workers) {
    std::copy_n(member.of(dh), batch * hidden, member.of(*initial_h));
    std::copy_n(member.of(dc), batch * hidden, member.of(*initial_c));
    Backward of{time, batch, hidden,
                member.of(gates), member.of(cells), member.of(dy), {},
                {member.of(lengths), member.of(resets), member.of(h_mask), batch},
                reverse, member.of(*dz), member.of(*initial_h), member.of(*initial_c)};
    const long panel_size = kGates * hidden * kBack;
    of.packed.resize(of.panels() * panel_size);
    native::share(workers, of.panels(), [&](long panel) {
      pack_transposed(member.of(wh), hidden, panel * kBack,
                      &of.packed[panel * panel_size]);
    });
    run(workers, of);
  });
  return ffi::Error::Success();
}

ffi::Error RunWeights(ffi::ThreadPool pool, Floats x, Floats h, Floats dz, Result dwx,
                      Result dwh, Result db) {
  const auto in = x.dimensions().last(3);
  const long rows = in[0] * in[1], features = in[2], hidden = rows_of(*dwh);
  for (Result* result : {&dwx, &dwh, &db})
    std::fill_n((*result)->typed_data(), (*result)->element_count(), 0.f);
  in_members(pool, members_of(x, 3), [&](Member member, native::Workers workers) {
    Weights of{rows, features, hidden, dz.dimensions().back(),
               member.of(x), member.of(h), member.of(dz),
               member.of(*dwx), member.of(*dwh), member.of(*db)};
    const long most = workers.count * Weights::kPanels;
    const long rounds = (of.panels() + most - 1) / most;
    const long tasks = std::min(workers.count * rounds, of.panels());
    native::share(workers, tasks, [&](long task) {
      of.sum(native::block_start(of.panels(), tasks, task),
             native::block_start(of.panels(), tasks, task + 1));
    });
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
