"""What a report calls each metric, in the order of its table's rows."""

from typing import NamedTuple


class Kind(NamedTuple):
    """What is known of a metric by its name."""

    title: str
    note: str
    better: int  # 1: more is better, −1: less is, 0: neither by itself


# Metrics of other names get a row with their own name and unit.
KINDS = {
    "modes_captured": Kind("Classes drawn", "at least once; more is better", 1),
    "modes_with_5": Kind("Classes drawn five times", "or more; more is better", 1),
    "kl_to_uniform": Kind("KL to uniform", "of the classes, nats; less is better", -1),
    "digit_frechet": Kind(
        "Digit-feature Fréchet distance", "squared feature units; less is better", -1
    ),
    "digit_kernel": Kind(
        "Digit-feature kernel distance",
        "unbiased, about 0 for real; less is better",
        -1,
    ),
    "pixel_frechet": Kind(
        "Pixel Fréchet distance", "squared, pixels in [0, 1]; less is better", -1
    ),
    "pixel_kernel": Kind(
        "Pixel kernel distance", "unbiased, about 0 for real; less is better", -1
    ),
    "inception_frechet": Kind(
        "FID", "against held-out pictures, not training ones; less is better", -1
    ),
    "inception_kernel": Kind(
        "KID", "unbiased, about 0 for real, not times 1,000; less is better", -1
    ),
    "high_quality": Kind(
        "High-quality samples", "share within 3 σ of a mode; more is better", 1
    ),
    "precision": Kind(
        "Precision", "share among real ones (3 neighbours); more is better", 1
    ),
    "recall": Kind("Recall", "share of real ones among the drawn; more is better", 1),
    "density": Kind("Density", "real balls around a drawn one, over 5; 1 for real", 0),
    "coverage": Kind(
        "Coverage", "share of real balls with a drawn one; more is better", 1
    ),
    "copying": Kind(
        "Copying test", "½: as far from training data as held-out; 1: copies", 0
    ),
    "nearest_training": Kind(
        "Nearest training example", "mean distance in the same features", 0
    ),
    "pair_distance": Kind("Difference of two samples", "mean of random pairs", 0),
    "classifier_score": Kind(
        "Classifier score", "sure and varied by the classifier; more is better", 1
    ),
    "confidence": Kind("Classifier's confidence", "mean top probability", 0),
    "known_words": Kind(
        "Words that real text has", "share of whole words drawn; more is better", 1
    ),
    "ngram_precision": Kind(
        "Drawn 4-grams that real text has", "share; more is better", 1
    ),
    "ngram_recall": Kind(
        "Real 4-grams that were drawn too", "share; more is better", 1
    ),
    "bleu_forward": Kind(
        "BLEU of drawn texts", "real ones as references; more is better", 1
    ),
    "bleu_backward": Kind(
        "BLEU of real texts", "drawn ones as references; more is better", 1
    ),
    "self_bleu": Kind("Self-BLEU", "drawn ones among each other; 1: all alike", 0),
    "pair_frechet": Kind(
        "Byte-pair Fréchet distance",
        "counts of the 64 commonest pairs; less is better",
        -1,
    ),
    "progression_precision": Kind(
        "Drawn progressions that real music has",
        "two frames, in any key, share; more is better",
        1,
    ),
    "progression_recall": Kind(
        "Real progressions that were drawn too", "share; more is better", 1
    ),
    "music_frechet": Kind(
        "Musical-feature Fréchet distance",
        "keys, density, register, motion; less is better",
        -1,
    ),
    "series_frechet": Kind(
        "Fréchet distance of whole series", "squared units; less is better", -1
    ),
    "value_distance": Kind(
        "Distance of the values", "Wasserstein-1, units of the data; less is better", -1
    ),
    "change_distance": Kind(
        "Distance of the changes", "of a step, Wasserstein-1; less is better", -1
    ),
    "forecast_error": Kind(
        "Real forecast learnt from drawn",
        "mean error, units of the data; less is better",
        -1,
    ),
    "bits_per_byte": Kind("Held-out likelihood", "bits a byte; less is better", -1),
    "dynamic_bits_per_byte": Kind(
        "… learning as it reads on", "bits a byte, in order; less is better", -1
    ),
    "unigram_bits": Kind("… by counted bytes", "bits a byte", 0),
    "bigram_bits": Kind("… by counted pairs of bytes", "bits a byte", 0),
    "xz_bits": Kind("… by xz, after the training text", "bits a byte", 0),
    "bits_per_pixel": Kind("Held-out likelihood", "bits a pixel; less is better", -1),
    "frame_nats_chung": Kind(
        "Held-out frame, mean of pieces", "nats, as Chung 2014; less is better", -1
    ),
    "frame_nats_bai": Kind(
        "Held-out frame but the first", "nats, as Bai 2018; less is better", -1
    ),
    "marginal_nats_chung": Kind("… its keys counted apart", "nats, as Chung 2014", 0),
    "marginal_nats_bai": Kind(
        "… its keys counted apart, but the first", "nats, as Bai 2018", 0
    ),
    "step_nats": Kind(
        "Held-out step", "nats, density in units of the data; less is better", -1
    ),
    "gaussian_nats": Kind("… by one Gaussian of all steps", "nats", 0),
    "persistence_nats": Kind("… by the step before and noise", "nats", 0),
    "accuracy": Kind("Held-out accuracy", "share; more is better", 1),
    "last_step_accuracy": Kind("… at the last step", "share; more is better", 1),
    "recalled": Kind("Symbols recalled", "share of ten; more is better", 1),
    "exact": Kind("Whole sequences right", "share; more is better", 1),
    "squared_error": Kind("Held-out squared error", "less is better", -1),
    "memoryless_squared_error": Kind("… of a guess", "squared", 0),
    "loss": Kind("Held-out loss", "nats a target; less is better", -1),
    "memoryless_nats": Kind("… of a guess", "nats a target", 0),
}
