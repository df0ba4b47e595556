"""Many runs of one experiment: which, how they run, and what came of them."""
