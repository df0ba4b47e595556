// Functions of whole vectors.
#pragma once

#include "vectors.h"

namespace native {

// tanh, as a quotient of polynomials of degree 13 and 6 (the minimax coefficients of
// Eigen's ptanh); beyond ±7.905 it is 1 in float32.
inline Vector tanh(Vector x) {
  constexpr float kMost = 7.90531110763549805f;
  constexpr float kAbove[] = {-2.76076847742355e-16f, 2.00018790482477e-13f,
                              -8.60467152213735e-11f, 5.12229709037114e-08f,
                              1.48572235717979e-05f,  6.37261928875436e-04f,
                              4.89352455891786e-03f};
  constexpr float kBelow[] = {1.19825839466702e-06f, 1.18534705686654e-04f,
                              2.26843463243900e-03f, 4.89352518554385e-03f};
  x = x > kMost ? Vector{} + kMost : x;  // of a NaN both comparisons are false
  x = x < -kMost ? Vector{} - kMost : x;
  const Vector square = x * x;
  Vector above = Vector{} + kAbove[0], below = Vector{} + kBelow[0];
  for (int i = 1; i < 7; ++i) above = above * square + kAbove[i];
  for (int i = 1; i < 4; ++i) below = below * square + kBelow[i];
  return x * above / below;
}

inline Vector sigmoid(Vector x) { return 0.5f * tanh(0.5f * x) + 0.5f; }

}  // namespace native
