"""Accesses files and the network: reads donors from folders or the hub, copies bytes, writes the output folder."""
