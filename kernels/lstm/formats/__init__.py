"""Weights of other libraries to `LstmWeights`, and back.

One file is one library. `load` takes arrays under that library's own names and in its
own layout, `save` gives them back; both are numpy and keep dtypes. From ours to theirs
and back every bit is the same; the docstrings say where the other round trip is not.

| file  | what it reads               | gates      | biases                          |
|-------|-----------------------------|------------|---------------------------------|
| torch | nn.LSTM's state_dict        | i, f, g, o | two, whose sum counts           |
| keras | layers.LSTM's get_weights   | i, f, c, o | one                             |
| flax  | linen's (Optimized)LSTMCell | by name    | one, in the recurrent half      |
| cudnn | the flat blob               | i, f, g, o | two, whose sum counts           |
| haiku | hk.LSTM's parameters        | i, g, f, o | one, and 1 added to f when used |
| haste | LSTM's state_dict           | i, g, f, o | one                             |

A `Stack` is a tuple of layers, and a layer a tuple of its directions: forward, or
forward and backward. A layer of two directions reads both outputs of the one below,
side by side.
"""

from kernels.lstm.spec import LstmWeights

Directions = tuple[LstmWeights, ...]
Stack = tuple[Directions, ...]
