"""The embedded language model as a judge: what it is given to read, and the network that reads it."""
