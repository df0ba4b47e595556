// A SAME convolution, its transpose and its weight gradient, without the padding.
//
// Of a 5×5 kernel over 7×7 positions 31 % of all products are with padding. Here a tile
// is one output position of several examples: they have the same taps inside the
// picture, so the others are never multiplied, and nothing is copied into columns.
#include <cstring>
#include <type_traits>
#include <vector>

#include "../native/product.h"
#include "../native/share.h"

namespace {

namespace ffi = xla::ffi;
using native::kLanes, native::kRows, native::Vector;

constexpr int kVectors = 2, kWidth = kVectors * kLanes;  // columns of a tile
using Buffer = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;

// One of the two axes of a SAME convolution: out[y] = Σ_i in[y·stride + i − before]·w[i].
struct Axis {
  long in, out, taps, stride, before;

  Axis(long in, long out, long taps, long stride)
      : in(in), out(out), taps(taps), stride(stride),
        before(std::max((out - 1) * stride + taps - in, 0L) / 2) {}

  long source(long y, long tap) const { return y * stride + tap - before; }
  bool inside(long x) const { return 0 <= x && x < in; }
};

// `length` numbers of an example, side by side from `source`, times as many packed rows
// of the kernel from `row`.
struct Run {
  long source, row, length;
};

// For one axis: which inputs make output y, as (index of the input, slot of the tap).
// Slots order the taps so that neighbours in the sum are neighbours in memory.
struct Reach {
  long index, slot;
};

std::vector<std::vector<Reach>> reached(const Axis& axis, bool transposed) {
  std::vector<std::vector<Reach>> of(transposed ? axis.in : axis.out);
  std::vector<long> slot(axis.taps);
  long next = 0;
  for (long phase = 0; phase < (transposed ? axis.stride : 1); ++phase)
    for (long i = 0; i < axis.taps; ++i) {
      const long tap = transposed ? axis.taps - 1 - i : i;
      if (!transposed || tap % axis.stride == phase) slot[tap] = next++;
    }
  for (long y = 0; y < axis.out; ++y)
    for (long tap = 0; tap < axis.taps; ++tap) {
      const long x = axis.source(y, tap);
      if (!axis.inside(x)) continue;
      if (transposed) of[x].push_back({y, slot[tap]});
      else of[y].push_back({x, slot[tap]});
    }
  return of;
}

std::vector<long> taps_by_slot(const Axis& axis, bool transposed) {
  std::vector<long> taps;
  if (!transposed) {
    for (long tap = 0; tap < axis.taps; ++tap) taps.push_back(tap);
    return taps;
  }
  for (long phase = 0; phase < axis.stride; ++phase)
    for (long tap = axis.taps - 1; tap >= 0; --tap)
      if (tap % axis.stride == phase) taps.push_back(tap);
  return taps;
}

// A convolution, or its transpose, as a sum over runs for each position.
struct Gather {
  Axis rows, columns;
  bool transposed;
  long inputs, outputs;  // channels of an input and of an output position

  long in_height() const { return transposed ? rows.out : rows.in; }
  long in_width() const { return transposed ? columns.out : columns.in; }
  long out_height() const { return transposed ? rows.in : rows.out; }
  long out_width() const { return transposed ? columns.in : columns.out; }
  long depth() const { return rows.taps * columns.taps * inputs; }
  long panels() const { return (outputs + kWidth - 1) / kWidth; }

  std::vector<std::vector<Run>> runs() const {
    const auto down = reached(rows, transposed), across = reached(columns, transposed);
    std::vector<std::vector<Run>> all;
    for (const auto& vertical : down)
      for (const auto& horizontal : across) {
        std::vector<Run> list;
        for (const Reach& y : vertical)
          for (const Reach& x : horizontal) {
            const long source = (y.index * in_width() + x.index) * inputs;
            const long row = (y.slot * columns.taps + x.slot) * inputs;
            if (!list.empty() && list.back().source + list.back().length == source &&
                list.back().row + list.back().length == row)
              list.back().length += inputs;
            else
              list.push_back({source, row, inputs});
          }
        all.push_back(std::move(list));
      }
    return all;
  }

  // One panel of the kernel [rows, columns, in, out]: kWidth columns side by side.
  void pack(const float* kernel, long panel, float* to) const {
    const auto down = taps_by_slot(rows, transposed);
    const auto across = taps_by_slot(columns, transposed);
    const long first = panel * kWidth, wide = std::min<long>(kWidth, outputs - first);
    for (long i : down)
      for (long j : across) {
        const float* tap = kernel + (i * columns.taps + j) * inputs * outputs;
        for (long k = 0; k < inputs; ++k, to += kWidth) {
          if (transposed)
            for (long n = 0; n < wide; ++n) to[n] = tap[(first + n) * inputs + k];
          else
            std::memcpy(to, tap + k * outputs + first, wide * sizeof(float));
          std::fill(to + wide, to + kWidth, 0.f);
        }
      }
  }
};

template <int R>
void put(const Vector (&sums)[R][kVectors], float* to, long row, long wide) {
  for (int r = 0; r < R; ++r) {
    if (wide == kWidth) {
      for (int v = 0; v < kVectors; ++v)
        native::store(to + r * row + v * kLanes, sums[r][v]);
    } else {
      float whole[kWidth];
      for (int v = 0; v < kVectors; ++v) native::store(whole + v * kLanes, sums[r][v]);
      std::memcpy(to + r * row, whole, wide * sizeof(float));
    }
  }
}

void gather(ffi::ThreadPool pool, const Gather& of, long batch, const float* x,
            const float* kernel, float* y) {
  const auto runs = of.runs();
  const long positions = runs.size(), panels = of.panels(), depth = of.depth();
  const long in_size = of.in_height() * of.in_width() * of.inputs;
  const long out_size = positions * of.outputs;
  std::vector<float> packed(panels * depth * kWidth);
  native::share(pool, panels, [&](long panel) {
    of.pack(kernel, panel, &packed[panel * depth * kWidth]);
  });
  // A panel stays in the cache of the thread that works through its positions.
  const long groups = of.out_height(), wide_group = of.out_width();
  native::share(pool, panels * groups, [&](long task) {
    const long panel = task / groups, group = task % groups;
    const float* w = &packed[panel * depth * kWidth];
    const long wide = std::min<long>(kWidth, of.outputs - panel * kWidth);
    for (long p = group * wide_group; p < (group + 1) * wide_group; ++p)
      native::in_blocks<kRows>(batch, [&](long first, auto rows) {
        Vector sums[decltype(rows)::value][kVectors] = {};
        const float* from = x + first * in_size;
        float* to = y + first * out_size + p * of.outputs + panel * kWidth;
        for (const Run& run : runs[p])
          native::multiply_add(sums, from + run.source, in_size, 1,
                               w + run.row * kWidth, run.length);
        put(sums, to, out_size, wide);
      });
  });
}

// The transpose where an output has few channels, such as the three of a picture: one
// row of taps fills a vector, and each input adds its own to the outputs around it.
template <int Vectors>
void scatter(ffi::ThreadPool pool, const Gather& of, long batch, const float* g,
             const float* kernel, float* x) {
  const Axis &rows = of.rows, &columns = of.columns;
  const long wide = columns.taps * of.outputs, step = columns.stride * of.outputs;
  constexpr long kWide = Vectors * kLanes;
  std::vector<float> packed(rows.taps * of.inputs * kWide);
  for (long i = 0; i < rows.taps; ++i)
    for (long n = 0; n < wide; ++n)
      for (long k = 0; k < of.inputs; ++k)
        packed[(i * of.inputs + k) * kWide + n] = kernel[(i * wide + n) * of.inputs + k];
  const long padded = (columns.out - 1) * step + kWide;
  const long line = columns.in * of.outputs, skipped = columns.before * of.outputs;
  const long blocks = (columns.out + kRows - 1) / kRows;
  native::share(pool, batch, [&](long example) {
    const float* from = g + example * rows.out * columns.out * of.inputs;
    std::vector<float> sum(rows.in * std::max(padded, skipped + line));
    const long pitch = sum.size() / rows.in;
    for (long y = 0; y < rows.out; ++y)
      for (long block = 0; block < blocks; ++block) {
        const long first = native::block_start(columns.out, blocks, block);
        const long count = native::block_start(columns.out, blocks, block + 1) - first;
        const float* a = from + (y * columns.out + first) * of.inputs;
        for (long i = 0; i < rows.taps; ++i) {
          if (!rows.inside(rows.source(y, i))) continue;
          float* to = &sum[rows.source(y, i) * pitch + first * step];
          native::with_rows<kRows>(count, [&](auto constant) {
            constexpr int R = decltype(constant)::value;
            Vector sums[R][Vectors] = {};
            native::multiply_add(sums, a, of.inputs, 1, &packed[i * of.inputs * kWide],
                                 of.inputs);
            for (int r = 0; r < R; ++r)
              for (int v = 0; v < Vectors; ++v) {
                float* here = to + r * step + v * kLanes;
                native::store(here, native::load(here) + sums[r][v]);
              }
          });
        }
      }
    for (long y = 0; y < rows.in; ++y)
      std::memcpy(x + (example * rows.in + y) * line, &sum[y * pitch + skipped],
                  line * sizeof(float));
  });
}

// The weight gradient [rows, columns, in, out]: for each tap a product over all
// positions of all examples that the tap sees, a few examples at a time so that what is
// read again for the next tap is still in the cache.
struct Weight {
  Axis rows, columns;
  long inputs, outputs;
  long taps;      // along a row: 1 where they are merged with the channels
  long channels;  // of a tile's rows: all taps' of a row where merged
  long in_width;  // of x, padded where merged

  long panels() const { return (outputs + kWidth - 1) / kWidth; }
  bool merged() const { return channels != inputs; }
};

// x with enough zeros left and right that each output sees all its taps of a row.
std::vector<float> widened(const Weight& of, const float* x, long batch) {
  const long line = of.columns.in * of.inputs, before = of.columns.before * of.inputs;
  const long pitch = of.in_width * of.inputs, all = batch * of.rows.in;
  std::vector<float> wide(all * pitch);
  for (long y = 0; y < all; ++y)
    std::memcpy(&wide[y * pitch + before], x + y * line,
                std::min(line, pitch - before) * sizeof(float));
  return wide;
}

// The gradient of one row of taps for one panel of outputs, added to what is there.
void add_taps(const Weight& of, long i, long wide, const float* x, const float* g,
              long batch, float* sums_at) {
  const Axis &rows = of.rows, &columns = of.columns;
  const long in_size = rows.in * of.in_width * of.inputs;
  const long out_size = rows.out * columns.out * kWidth;
  const long step = columns.stride * of.inputs;
  for (long j = 0; j < of.taps; ++j) {
    long low = 0, high = columns.out;  // outputs whose tap lies in the picture
    while (!of.merged() && low < high && columns.source(low, j) < 0) ++low;
    while (!of.merged() && high > low && columns.source(high - 1, j) >= columns.in)
      --high;
    const long left = of.merged() ? 0 : columns.source(low, j);
    native::in_blocks<kRows>(of.channels, [&](long first, auto count) {
      float* to = sums_at + (j * of.channels + first) * of.outputs;
      constexpr int R = decltype(count)::value;
      Vector sums[R][kVectors];
      float edge[R][kWidth];
      const bool whole = wide == kWidth;
      for (int r = 0; r < R && !whole; ++r)
        std::memcpy(edge[r], to + r * of.outputs, wide * sizeof(float));
      for (int r = 0; r < R; ++r)
        for (int v = 0; v < kVectors; ++v)
          sums[r][v] = native::load((whole ? to + r * of.outputs : edge[r]) +
                                    v * kLanes);
      for (long b = 0; b < batch; ++b)
        for (long y = 0; y < rows.out; ++y) {
          const long down = rows.source(y, i);
          if (!rows.inside(down)) continue;
          const float* a = x + b * in_size + first +
                           (down * of.in_width + left) * of.inputs;
          native::multiply_add(sums, a, 1, step,
                               g + b * out_size + (y * columns.out + low) * kWidth,
                               high - low);
        }
      put(sums, to, of.outputs, wide);
    });
  }
}

void weight(ffi::ThreadPool pool, const Weight& of, long batch, const float* x,
            const float* g, float* kernel) {
  const long positions = of.rows.out * of.columns.out;
  const long in_size = of.rows.in * of.in_width * of.inputs;
  // A chunk of g's panel is half of a first-level cache of 48 KB.
  const long chunk = std::max(1L, 12288 / (positions * kWidth));
  const long row_size = of.columns.taps * of.inputs * of.outputs;
  std::vector<float> wide;
  if (of.merged()) wide = widened(of, x, batch), x = wide.data();
  std::fill(kernel, kernel + of.rows.taps * row_size, 0.f);
  native::share(pool, of.panels() * of.rows.taps, [&](long task) {
    const long panel = task / of.rows.taps, i = task % of.rows.taps;
    const long columns = std::min<long>(kWidth, of.outputs - panel * kWidth);
    std::vector<float> packed(chunk * positions * kWidth);
    for (long b = 0; b < batch; b += chunk) {
      const long count = std::min(chunk, batch - b);
      const float* from = g + b * positions * of.outputs + panel * kWidth;
      for (long p = 0; p < count * positions; ++p)
        std::memcpy(&packed[p * kWidth], from + p * of.outputs,
                    columns * sizeof(float));
      add_taps(of, i, columns, x + b * in_size, packed.data(), count,
               kernel + i * row_size + panel * kWidth);
    }
  });
}

// One product for each of many matrices: y[m] = a[m]·w[m], where either may be stored
// transposed, a as [depth, rows] and w as [columns, depth].
ffi::Error Products(ffi::ThreadPool pool, Buffer a, Buffer w, Result y, bool a_turned,
                    bool w_turned) {
  const auto to = y->dimensions();
  const long many = to[0], rows = to[1], columns = to[2];
  const long depth = w.dimensions()[w_turned ? 2 : 1];
  const long row = a_turned ? 1 : depth, step = a_turned ? rows : 1;
  const long panels = (columns + kWidth - 1) / kWidth;
  native::share(pool, many, [&](long m) {
    const float* left = a.typed_data() + m * rows * depth;
    const float* matrix = w.typed_data() + m * depth * columns;
    std::vector<float> packed(depth * kWidth);  // a panel that cannot be read in place
    for (long panel = 0; panel < panels; ++panel) {
      const long wide = std::min<long>(kWidth, columns - panel * kWidth);
      const bool in_place = wide == kWidth && !w_turned;
      if (w_turned)
        for (long n = 0; n < wide; ++n)
          for (long k = 0; k < depth; ++k)
            packed[k * kWidth + n] = matrix[(panel * kWidth + n) * depth + k];
      else if (!in_place)
        for (long k = 0; k < depth; ++k)
          std::memcpy(&packed[k * kWidth], matrix + k * columns + panel * kWidth,
                      wide * sizeof(float));
      const float* right = in_place ? matrix + panel * kWidth : packed.data();
      const long pitch = in_place ? columns : kWidth;
      native::in_blocks<kRows>(rows, [&](long first, auto count) {
        Vector sums[decltype(count)::value][kVectors] = {};
        native::multiply_add(sums, left + first * row, row, step, right, depth, pitch);
        put(sums, y->typed_data() + (m * rows + first) * columns + panel * kWidth,
            columns, wide);
      });
    }
  });
  return ffi::Error::Success();
}

// One matrix [rows, depth] times many: x [many, depth, columns] → y [rows, many,
// columns], or, `back`, x [depth, many, columns] → y [many, rows, columns].
ffi::Error Mix(ffi::ThreadPool pool, Buffer matrix, Buffer x, Result y, bool back) {
  const auto of = matrix.dimensions(), from = x.dimensions();
  const long rows = of[0], depth = of[1], columns = from[2];
  const long many = back ? from[1] : from[0];
  const long pitch = back ? many * columns : columns;
  const long row = back ? columns : many * columns;
  const long panels = (columns + kWidth - 1) / kWidth, group = 8;
  const long groups = (panels + group - 1) / group;
  native::share(pool, many * groups, [&](long task) {
    const long item = task / groups, first_panel = task % groups * group;
    const float* in = x.typed_data() + item * (back ? 1 : depth) * columns;
    float* out = y->typed_data() + item * (back ? rows : 1) * columns;
    std::vector<float> packed(depth * kWidth);
    for (long p = first_panel; p < std::min(panels, first_panel + group); ++p) {
      const long wide = std::min<long>(kWidth, columns - p * kWidth);
      for (long k = 0; k < depth; ++k)  // it is read again for every block of rows
        std::memcpy(&packed[k * kWidth], in + k * pitch + p * kWidth,
                    wide * sizeof(float));
      native::in_blocks<kRows>(rows, [&](long first, auto count) {
        Vector sums[decltype(count)::value][kVectors] = {};
        native::multiply_add(sums, matrix.typed_data() + first * depth, depth, 1,
                             packed.data(), depth);
        put(sums, out + first * row + p * kWidth, row, wide);
      });
    }
  });
  return ffi::Error::Success();
}

ffi::Error Conv(ffi::ThreadPool pool, Buffer x, Buffer kernel, Result y,
                ffi::Span<const int64_t> strides) {
  const auto a = x.dimensions(), k = kernel.dimensions(), b = y->dimensions();
  const Gather of{{a[1], b[1], k[0], strides[0]}, {a[2], b[2], k[1], strides[1]},
                  false, k[2], k[3]};
  gather(pool, of, a[0], x.typed_data(), kernel.typed_data(), y->typed_data());
  return ffi::Error::Success();
}

ffi::Error Transpose(ffi::ThreadPool pool, Buffer g, Buffer kernel, Result x,
                     ffi::Span<const int64_t> strides) {
  const auto a = x->dimensions(), k = kernel.dimensions(), b = g.dimensions();
  const Gather of{{a[1], b[1], k[0], strides[0]}, {a[2], b[2], k[1], strides[1]},
                  true, k[3], k[2]};
  const long wide = of.columns.taps * of.outputs;
  const auto run = wide <= kLanes ? scatter<1> : wide <= 2 * kLanes ? scatter<2> : gather;
  run(pool, of, a[0], g.typed_data(), kernel.typed_data(), x->typed_data());
  return ffi::Error::Success();
}

ffi::Error WeightGradient(ffi::ThreadPool pool, Buffer x, Buffer g, Result kernel,
                          ffi::Span<const int64_t> strides) {
  const auto a = x.dimensions(), k = kernel->dimensions(), b = g.dimensions();
  Weight of{{a[1], b[1], k[0], strides[0]}, {a[2], b[2], k[1], strides[1]},
            k[2], k[3], k[1], k[2], a[2]};
  if (k[1] > 1 && k[2] < 8) {  // too few rows for a tile, and taps to fill it
    of.taps = 1;
    of.channels = k[1] * k[2];
    of.in_width = (b[2] - 1) * strides[1] + k[1];
  }
  weight(pool, of, a[0], x.typed_data(), g.typed_data(), kernel->typed_data());
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(NativeConv, Conv,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Buffer>()
                                  .Arg<Buffer>()
                                  .Ret<Buffer>()
                                  .Attr<ffi::Span<const int64_t>>("strides"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(NativeTranspose, Transpose,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Buffer>()
                                  .Arg<Buffer>()
                                  .Ret<Buffer>()
                                  .Attr<ffi::Span<const int64_t>>("strides"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(NativeWeight, WeightGradient,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Buffer>()
                                  .Arg<Buffer>()
                                  .Ret<Buffer>()
                                  .Attr<ffi::Span<const int64_t>>("strides"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(NativeProducts, Products,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Buffer>()
                                  .Arg<Buffer>()
                                  .Ret<Buffer>()
                                  .Attr<bool>("a_turned")
                                  .Attr<bool>("w_turned"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(NativeMix, Mix,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Buffer>()
                                  .Arg<Buffer>()
                                  .Ret<Buffer>()
                                  .Attr<bool>("back"));
