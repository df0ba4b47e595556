"""The library: models, losses, data, metrics, tasks, training and reports."""
