"""A scorer for the Numenta Anomaly Benchmark, written from its paper.

Source: A. Lavin and S. Ahmad, "Evaluating Real-time Anomaly Detection Algorithms - the Numenta
Anomaly Benchmark", ICMLA 2015 (arXiv:1510.03336), sections II.B to II.D.

Start it with ``python -m tests.tools.nab RESULTS``.
"""
