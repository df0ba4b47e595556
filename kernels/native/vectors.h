// Vectors as wide as the processor's, by the compiler's own vector types: one source
// for AVX-512, AVX2, SSE and NEON. A compiler that meets a wider vector than the
// processor has would split it, slowly; so the width is read from its own macros.
#pragma once

#include <cstring>

namespace native {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16, kRows = 14;  // 32 registers: 14 × 2 sums and 2 of w
#elif defined(__AVX__)
inline constexpr int kLanes = 8, kRows = 6;  // 16 registers: 6 × 2 sums, 2 of w, 1 of a
#elif defined(__aarch64__)
inline constexpr int kLanes = 4, kRows = 12;  // 32 registers
#else
inline constexpr int kLanes = 4, kRows = 6;
#endif

typedef float Vector __attribute__((vector_size(4 * kLanes)));
typedef float Unaligned __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));

inline Vector load(const float* from) { return *(const Unaligned*)from; }
inline void store(float* to, Vector v) { *(Unaligned*)to = v; }

// The first `count` lanes alone; the others are read as zeros.
inline Vector load(const float* from, long count) {
  if (count >= kLanes) return load(from);
  Vector v = {};
  std::memcpy(&v, from, count * sizeof(float));
  return v;
}
inline void store(float* to, Vector v, long count) {
  if (count >= kLanes) return store(to, v);
  std::memcpy(to, &v, count * sizeof(float));
}

}  // namespace native
