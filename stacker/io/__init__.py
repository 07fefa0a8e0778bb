"""All access to files and the network: donors, the hub, reading and writing bytes, the output folder."""
