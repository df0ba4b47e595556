"""Layers of networks over sequences, which the models are put together from.

A recurrent layer maps (x, state, train, lengths, resets) to (y, last state):

    x        [batch, time, features]
    state    before the first step; None is zeros. The first axis of every array in
             it is the batch. Handing the last state back in goes on where it was left
    train    whether dropout drops; its keys come by `rngs={"dropout": key}`
    lengths  [batch] or None: past a row's end y is zero and the state stands still
    resets   bool [batch, time] or None: True zeroes the state before that step
    y        [batch, time, width]

and `start(batch)` is its zero state. A recurrent layer takes x and state in the dtype
of its weights, so that a network of bfloat16 (research.training.precision) computes in
it throughout; an LSTM's c is float32 always.
"""
