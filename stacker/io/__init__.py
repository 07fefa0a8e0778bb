"""The only place that touches files and the network: headers, donors, bytes, shards, journal, the output folder."""
