// Work shared with XLA's own threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "xla/ffi/api/ffi.h"

namespace native {

// Threads that may work at once: this one, and the others out of XLA's pool.
struct Workers {
  xla::ffi::ThreadPool pool;
  long count;

  Workers(xla::ffi::ThreadPool pool)
      : pool(pool),
        count(std::clamp<long>(pool.num_threads(), 1,
                               std::max(1u, std::thread::hardware_concurrency()))) {}

  // This thread, for what is a task of several already.
  Workers alone() const {
    Workers one = *this;
    one.count = 1;
    return one;
  }
};

// Runs task(0) … task(tasks − 1), each once, on the workers' threads.
//
// The caller takes tasks too, and waits only for those that another thread has begun:
// it ends even if the pool never runs a thing, as where several devices of one process
// fill it. Which thread runs a task changes no result.
template <typename Task>
void share(Workers workers, long tasks, const Task& task) {
  struct Progress {
    std::atomic<long> next{0}, done{0};
  };
  auto progress = std::make_shared<Progress>();
  auto work = [progress, tasks, &task] {  // `task` is touched only while one is left
    for (long i; (i = progress->next.fetch_add(1)) < tasks;) {
      task(i);
      progress->done.fetch_add(1, std::memory_order_release);
    }
  };
  const long helpers = std::min(workers.count, tasks) - 1;
  for (long i = 0; i < helpers; ++i)
    workers.pool.Schedule(std::function<void()>(work));
  work();
  while (progress->done.load(std::memory_order_acquire) < tasks)
    std::this_thread::yield();
}

}  // namespace native
