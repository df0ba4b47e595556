"""One page about one run or several: words, pictures, curves and a table."""
