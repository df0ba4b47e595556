// What vmap makes of a call: axes in front of its arrays', the same for all of them.
#pragma once
#include "native_steps.h"

namespace {

using Floats = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;
using Lengths = ffi::Buffer<ffi::S32>;
using Flags = ffi::Buffer<ffi::PRED>;

// One of the calls.
struct Member {
  long index, members;

  // Its part of an array; null if there is nothing in it.
  template <typename Array>
  auto* of(const Array& array) const {
    const long size = array.element_count() / members;
    return size ? array.typed_data() + index * size : nullptr;
  }
};

// How many there are, from an array that has so many axes in a call alone.
template <typename Array>
long members_of(const Array& array, size_t axes) {
  const auto sizes = array.dimensions();
  long members = 1;
  for (const auto size : sizes.first(sizes.size() - axes)) members *= size;
  return members;
}

// Of a matrix.
template <typename Array>
long rows_of(const Array& array) {
  return array.dimensions().last(2)[0];
}

// Calls f(member, its workers): each thread takes members, or all share every one.
template <typename Each>
void in_members(native::Workers workers, long members, const Each& f) {
  if (members < workers.count) {
    for (long m = 0; m < members; ++m) f(Member{m, members}, workers);
  } else {
    native::share(workers, members,
                  [&](long m) { f(Member{m, members}, workers.alone()); });
  }
}

}  // namespace
