"""Media: what a sample is, how it is kept, shown and scored. One file is one medium.

A data set names its medium as `MEDIUM`; one that does not is of `pictures`. A file here
has

  ENTRY   the entry of a batch that is drawn and imitated: "image", "point", …
  CALLED  what several samples are called, "pictures"; left out: "samples"
  SHOWN   how many samples a checkpoint and a report's page show
  SUFFIX  of the file that `write` makes, ".png" or ".txt"
  write(samples, file, dataset)  a file for people; it may write others of its name
      beside it
  sheet(samples, dataset) -> a PNG file's bytes for a report's page, or None
  score(generated, reference, again, dataset) -> {name: Measured}, the final metrics:
      `reference` are real held-out samples, `again` real training ones, as many as were
      generated, which give every floor. Where the batches hold `block` (see
      research.data), `blocks=` are the reference's; a score that does not take them is
      refused before the training
  copying(generated, held_out, training, dataset) -> {name: Measured}  optional: whether
      samples repeat `training`, up to 10,000 real ones that were trained on
  watch(samples, dataset) -> {name: float}  optional, at each checkpoint: `diversity`,
      how much samples differ, and others; logged as shares of what real ones have
  beside_nearest(samples, training, dataset)  optional: some of the samples in rows,
      each above a row of the training samples nearest to them
  strips(ways, file)  optional: samples [ways, steps, …] as a PNG, a row for each way;
      with still(sample) -> a PIL image, for a film
  refuse(count, dataset, held_out)  optional: raises UserError, before a run is trained,
      where `count` samples and so many held-out ones have no score

`dataset` is the data set, a module in research/data; `write` and `sheet` get None where
it is not there any more.

samples are arrays with the samples on the first axis, as the data set's batches hold
them. What a report says of a metric by its name stands in research/reports/table.py;
others get a row with their own name and unit.

A medium that a GAN can imitate has besides, both traceable,

  to_network(samples)    float32 as D reads them and G makes them, of the same shape
  from_network(outputs)  the inverse: what G makes → samples

One that a model can give a likelihood of has `likelihood(found) -> {name: Measured}`:
`found` are held-out metrics by name, [examples], with `loss` in nats a target and
`targets`, how many an example has. Where the batches hold `block`, it is given
`blocks=` as `score` is.

One that is read rather than looked at has `words(samples) -> str`, which the page
shows as it is. samples/final.npy of a workdir holds the last samples of any medium, so
that a report needs no model.
"""

from types import ModuleType

from research import parts


def of(dataset: ModuleType) -> ModuleType:
    """The medium of a data set."""
    return parts.find("research.media", name_of(dataset))


def name_of(dataset: ModuleType) -> str:
    """The name of a data set's medium."""
    return getattr(dataset, "MEDIUM", "pictures")
