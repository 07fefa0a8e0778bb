"""What ops are made of: arithmetic over tiles, compiled for the processor, or torch's on a device."""
