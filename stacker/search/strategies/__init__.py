"""Ways to choose what to try next: scans, CMA-ES, evolution, and the space of Sakana's paper."""
