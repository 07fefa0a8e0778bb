"""What is known of a live stack before it is loaded: what it is made of, and how much memory it takes. No torch."""
