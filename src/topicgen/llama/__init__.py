"""What training and engines both need to compute with a Llama."""
